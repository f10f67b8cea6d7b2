#include "proto/vocabulary.h"

#include <string.h>

#define WORD(member, word) word,
static const char *const beat_status_words[] = {BEAT_STATUS_WORDS(WORD)};
static const char *const container_state_words[] = {CONTAINER_STATE_WORDS(WORD)};
static const char *const container_health_words[] = {CONTAINER_HEALTH_WORDS(WORD)};
static const char *const stop_class_words[] = {STOP_CLASS_WORDS(WORD)};
static const char *const docker_policy_words[] = {DOCKER_POLICY_WORDS(WORD)};
static const char *const command_op_words[] = {COMMAND_OP_WORDS(WORD)};
static const char *const answer_code_words[] = {ANSWER_CODE_WORDS(WORD)};
static const char *const restart_label_words[] = {RESTART_LABEL_WORDS(WORD)};
static const char *const beat_mode_words[] = {BEAT_MODE_WORDS(WORD)};
#undef WORD

static const char *name_of(const char *const words[], unsigned count, unsigned member)
{
    return words[member < count ? member : 0];
}

/* The first member of every set stands for words that nobody knows. */
static unsigned member_of(const char *const words[], unsigned count, const char *word)
{
    if (word == NULL) {
        return 0;
    }
    for (unsigned member = 0; member < count; member++) {
        if (words[member][0] == word[0] && strcmp(words[member], word) == 0) {
            return member;
        }
    }
    return 0;
}

#define SPELL(set, member, MEMBERS)                             \
    const char *set##_name(enum set member)                     \
    {                                                           \
        return name_of(set##_words, MEMBERS, (unsigned)member); \
    }                                                           \
    enum set set##_parse(const char *word)                      \
    {                                                           \
        return (enum set)member_of(set##_words, MEMBERS, word); \
    }

SPELL(beat_status, status, BEAT_STATUS_N)
SPELL(container_state, state, CONTAINER_STATE_N)
SPELL(container_health, health, CONTAINER_HEALTH_N)
SPELL(stop_class, class, STOP_CLASS_N)
SPELL(docker_policy, policy, DOCKER_POLICY_N)
SPELL(command_op, op, COMMAND_OP_N)
SPELL(answer_code, code, ANSWER_CODE_N)
SPELL(restart_label, label, RESTART_LABEL_N)
SPELL(beat_mode, mode, BEAT_MODE_N)

bool answer_code_changed_nothing(enum answer_code code)
{
    switch (code) {
    case ANSWER_ALREADY_RESTARTED:
    case ANSWER_NOT_NEEDED:
    case ANSWER_STALE_TARGET:
    case ANSWER_NOT_FOUND:
    case ANSWER_REFUSED_STOPPED:
    case ANSWER_REFUSED_HELD:
    case ANSWER_REFUSED_DENIED:
    case ANSWER_STALE_EPOCH:
    case ANSWER_EXPIRED:
    case ANSWER_BUSY:
    case ANSWER_UNAUTHORIZED:
    case ANSWER_BAD_REQUEST:
        return true;
    /* An agent that forgot an id cannot say that it did nothing. */
    case ANSWER_UNKNOWN_ID:
    case ANSWER_UNKNOWN:
    case ANSWER_OK:
    case ANSWER_ACCEPTED:
    case ANSWER_DOCKER_ERROR:
    case ANSWER_CODE_N:
        break;
    }
    return false;
}
