/*
 * Which agent is reached where: DEFIB_AGENTS, and what registrations told, remembered in DEFIB_STATE_DIR so
 * that healing goes on after a restart of the controller while Redis is away.
 */
#ifndef DEFIB_CONTROLLER_AGENT_BOOK_H
#define DEFIB_CONTROLLER_AGENT_BOOK_H

#include <stdbool.h>

#include "common/err.h"

#define AGENT_BOOK_FILE "agents.known"

enum { AGENT_BOOK_HOSTS = 4096 };

/* "host=url,host=url"; blanks round a part are dropped. Calls visit for each. 0, or -EINVAL naming the part.
 */
int agent_book_parse(const char *text, void (*visit)(void *arg, const char *host, const char *url), void *arg,
                     struct err *err);

/* Both fit their limits, hold no blanks or control characters, and the URL has a scheme. */
bool agent_book_is_entry(const char *host, const char *url);

/* One `host=url` a line; damaged lines are skipped. A missing file is empty. */
void agent_book_read(const char *dir, void (*visit)(void *arg, const char *host, const char *url), void *arg);

/* `each` calls `put` once for each entry. */
int agent_book_write(const char *dir,
                     void (*each)(void *arg, void (*put)(void *book, const char *host, const char *url),
                                  void *book),
                     void *arg, struct err *err);

#endif
