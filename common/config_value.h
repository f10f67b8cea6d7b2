/*
 * One value of the settings table: text to value, value to text. The inside of config.c.
 */
#ifndef DEFIB_COMMON_CONFIG_VALUE_H
#define DEFIB_COMMON_CONFIG_VALUE_H

#include <stdbool.h>

#include "common/config.h"
#include "common/err.h"

enum { CONFIG_VALUE_QUOTED_SIZE = 96 };

/* Where the row's value lies. Borrowed. */
void *config_value_at(const struct config_row *row, void *values);

/* Parses the whole text into `value`, which holds nothing yet or a value of the same type, and gets what it
 * owns. 0, or -EINVAL with `NAME="text": allowed are …`. */
int config_value_parse(const struct config_row *row, const char *text, void *value, struct err *err);

/* The value as text (fresh, given). A secret is "***"; a secret that is a URL keeps what helps to find a
 * slip, "redis://user:***@host:6379/0", of a web address the host. Logins inside URLs are masked in other
 * rows too. */
char *config_value_show(const struct config_row *row, const void *values);

/* Text as it may stand in a message: one line, not too long, nothing secret. */
void config_value_quote(const char *text, bool is_secret, char out[CONFIG_VALUE_QUOTED_SIZE]);

#endif
