/* What agents and services say in a replay, and what goes on being said. */
#ifndef DEFIB_CONTROLLER_REPLAY_REPLAY_WORDS_H
#define DEFIB_CONTROLLER_REPLAY_REPLAY_WORDS_H

#include "controller/replay/replay_inner.h"

struct replay_host *replay_words_host(struct replay_world *world,
                                      const char *name); /* made where there is none */
void replay_words_join_host(struct replay_track *track, struct replay_host *host);
void replay_words_leave_host(struct replay_track *track);

/* The host is heard now by this path, with nothing new; and will be again. */
void replay_words_hear(struct replay_world *world, struct replay_host *host, int path);
void replay_words_hear_again(struct replay_world *world, struct replay_host *host, int path);

/* The container's last word is of another id. */
bool replay_words_is_other_id(const struct replay_track *track, const struct heartbeat *beat);

/* Keeps its agent's word as the last one. */
void replay_words_keep(const struct replay_world *world, struct replay_track *track,
                       const struct heartbeat *beat);
void replay_words_keep_copy(struct heartbeat **place, const struct heartbeat *beat); /* without trees */

/* The recorded id of a command is that of the one which was sent in its place. */
void replay_words_translate_command(const struct replay_track *track, struct heartbeat *word);

void replay_words_tell(struct replay_world *world, const struct heartbeat *beat);
void replay_words_tell_services(struct replay_world *world, struct replay_track *track,
                                const struct heartbeat *beat);
/* What was said before, once more: nothing comes of it where nothing was recorded. */
void replay_words_tell_service_again(struct replay_world *world, const struct replay_track *track,
                                     const struct heartbeat *beat);
void replay_words_say_again(struct replay_world *world,
                            struct replay_track *track); /* its agent's last word */

/* The next beat comes in an interval: REPLAY_SERVICE or REPLAY_AGENT. */
void replay_words_go_on(struct replay_world *world, struct replay_track *track, enum replay_event_kind kind);
/* A beat that is not recorded would be the first one in a new state: if it had come then, it were recorded.
 * Notes the state. */
bool replay_words_is_first_in_state(const struct replay_world *world, struct replay_track *track);

void replay_words_end_service(struct replay_track *track);

/* … and where it stands under the name of its key. */
void replay_words_end_services(const struct replay_world *world, struct replay_track *track);

/* What concerns one container; at its own time, or where a command of the replay put it. */
void replay_words_play(struct replay_world *world, struct replay_track *track,
                       const struct replay_item *item);

#endif
