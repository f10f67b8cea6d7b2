/*
 * A stretch of a journal, arranged for its replay: what came when, and what of it concerns each container,
 * cut at the commands that were sent to it. What a container did after its first restart, its second … is
 * then known, and can be played at another time than it was recorded.
 */
#ifndef DEFIB_CONTROLLER_REPLAY_REPLAY_SCRIPT_H
#define DEFIB_CONTROLLER_REPLAY_REPLAY_SCRIPT_H

#include <stddef.h>

#include <uthash.h>

#include "controller/replay/replay_journal.h"

/* One of the inputs that concern a container. */
struct replay_item {
    size_t at; /* its place among the inputs */
    const struct registration_entry
        *entry;     /* of an INVENTORY: what it says of this one; NULL: it left it out */
    size_t segment; /* after so many commands */
};

/* A command that was sent. */
struct replay_sent {
    struct mono at;
    const char *id;
};

struct replay_track {
    char *name;
    struct replay_item *items;
    size_t count, size;
    size_t next; /* the first item that the replay has not come to */
    struct replay_sent *sent;
    size_t sent_count, sent_size;

    /* the replay's */
    size_t segment;      /* commands that it sent */
    size_t row[2];       /* of beats of its service, its agent; an event of an older one is void */
    bool is_told;        /* its agent beats for it */
    struct mono told_at; /* when it last did, as recorded */
    struct mono next_at; /* when it would again */
    const char *state;   /* that its last beat found; NULL: none did */
    bool is_parted;      /* it sent others, or at other times, than were recorded */
    char command[LIMIT_COMMAND_ID_SIZE];    /* its last */
    char aimed_at[LIMIT_TIME_SIZE];         /* the incarnation that one was for */
    size_t source;                          /* the recorded segment that follows it; 0: none */
    struct heartbeat *word;                 /* its agent's last, owned; NULL: none */
    struct heartbeat *beat;                 /* its service's, while they go on, owned; NULL: none */
    const struct registration_entry *entry; /* in its host's inventory; NULL: in none */
    struct replay_host *host;               /* whose inventory */
    UT_hash_handle hh;
};

struct replay_script {
    struct journal_input **inputs; /* in the order of `when`; silences stand where they began */
    struct mono *when;
    size_t count;
    struct replay_track *tracks;
};

/* Borrows the stretch. */
void replay_script_init(struct replay_script *script, struct replay_stretch *stretch);
void replay_script_fini(struct replay_script *script);

struct replay_track *replay_script_find(const struct replay_script *script, const char *name);
struct replay_track *replay_script_need(struct replay_script *script, const char *name);

/* The container that an input concerns, or NULL: more or none. */
const char *replay_script_subject(const struct journal_input *input);

bool replay_script_is_agents(const struct heartbeat *beat);

#endif
