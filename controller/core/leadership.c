#include "controller/core/leadership.h"

/* Within that all who lost Redis at the same time have tried again (redis_link's longest backoff and a
 * connect). */
static const int64_t RETURN_MS = 8000;

static int64_t send_ms(const struct leadership *leadership)
{
    return leadership->lease_ms * 2 / 3;
}

static int64_t wait_ms(const struct leadership *leadership)
{
    return leadership->lease_ms > RETURN_MS ? leadership->lease_ms : RETURN_MS;
}

void leadership_init(struct leadership *leadership, int64_t lease_ms, int64_t word_ms, uint64_t granted)
{
    *leadership = (struct leadership){
        .lease_ms = lease_ms, .word_ms = word_ms, .granted = granted, .known = granted, .others = -1};
}

void leadership_redis(struct leadership *leadership, bool has_redis, struct mono now)
{
    leadership->has_redis = has_redis;
    bool has_led_before_other = leadership->granted != 0 && leadership->known > leadership->granted;
    bool must_wait = leadership->role == ROLE_STANDBY && (leadership->is_outdone || has_led_before_other);
    if (has_redis) {
        leadership->may_take_at = must_wait ? mono_add(now, wait_ms(leadership)) : now;
    }
}

enum lease_grant leadership_granted(struct leadership *leadership, const struct lease_terms *terms)
{
    bool is_back = leadership->role == ROLE_STANDBY;
    bool is_same = !is_back && terms->epoch == leadership->granted;
    bool is_next = terms->epoch == leadership->granted + 1 && leadership->granted != 0;
    enum lease_grant grant = is_same                        ? GRANT_RENEWED
                             : !is_next && !terms->was_ours ? GRANT_TAKEN
                             : is_back                      ? GRANT_RESUMED
                                                            : GRANT_CONTINUED;
    leadership->is_outdone = false;
    leadership->granted = terms->epoch;
    leadership->known = terms->epoch > leadership->known ? terms->epoch : leadership->known;
    leadership->others = terms->others;
    leadership->renewed_at = terms->asked_at;
    return grant;
}

void leadership_refused(struct leadership *leadership)
{
    leadership->renewed_at = leadership->led_at = (struct mono){0};
    leadership->has_seen_other = leadership->is_outdone = true;
    leadership->others = -1;
    leadership->role = ROLE_STANDBY;
}

void leadership_heard(struct leadership *leadership, uint64_t epoch, enum redis_word redis, struct mono now)
{
    uint64_t most = redis == REDIS_WORD_UNKNOWN ? LEADERSHIP_EPOCH_STORED_MAX : LEADERSHIP_EPOCH_MAX;
    if (epoch > leadership->known && epoch <= most) {
        leadership->known = epoch;
    }
    if (redis == REDIS_WORD_UP) {
        leadership->up_at = now;
    } else if (redis == REDIS_WORD_DOWN) {
        leadership->down_at = now;
        if (epoch == leadership->granted && epoch != 0) {
            leadership->kin_at = now;
        }
    }
}

static bool is_recent(const struct leadership *leadership, struct mono when, struct mono now)
{
    return when.ms != 0 && mono_diff(now, when) < leadership->word_ms;
}

static bool is_lease_good(const struct leadership *leadership, struct mono now)
{
    return leadership->renewed_at.ms != 0 && mono_diff(now, leadership->renewed_at) < send_ms(leadership);
}

/* It led on when the lease could not be renewed. */
static bool was_alone(const struct leadership *leadership)
{
    return leadership->renewed_at.ms == 0 ||
           mono_diff(leadership->led_at, leadership->renewed_at) >= send_ms(leadership);
}

/* Where an agent has Redis, another one leads as soon as the lease has run out; else that is merely not
 * known. Who led alone is waited for by the others, see leadership_may_take. */
static struct mono frozen_from(const struct leadership *leadership, bool is_redis_seen)
{
    return is_redis_seen && !was_alone(leadership) ? leadership->renewed_at : leadership->led_at;
}

static int64_t frozen_ms(const struct leadership *leadership)
{
    return was_alone(leadership) ? wait_ms(leadership) : leadership->lease_ms;
}

static enum leader_role role_without_lease(const struct leadership *leadership, struct mono now)
{
    bool has_led = leadership->role != ROLE_STANDBY;
    bool is_redis_seen = is_recent(leadership, leadership->up_at, now);
    bool is_redis_gone = !is_redis_seen && is_recent(leadership, leadership->down_at, now);
    if (leadership->known > leadership->granted) {
        return ROLE_STANDBY;
    }
    if (has_led && (leadership->others == 0 || is_redis_gone)) {
        return ROLE_ALONE;
    }
    if (!has_led) {
        bool is_kin = is_redis_gone && is_recent(leadership, leadership->kin_at, now);
        return !leadership->has_redis && is_kin ? ROLE_ALONE : ROLE_STANDBY;
    }
    return mono_diff(now, frozen_from(leadership, is_redis_seen)) < frozen_ms(leadership) ? ROLE_FROZEN
                                                                                          : ROLE_STANDBY;
}

enum leader_role leadership_look(struct leadership *leadership, struct mono now)
{
    struct mono until = leadership_until(leadership);
    if (until.ms != 0) {
        leadership->led_at = mono_min(now, mono_add(until, -1));
    }
    enum leader_role role =
        is_lease_good(leadership, now) ? ROLE_LEADER : role_without_lease(leadership, now);
    if (role == ROLE_LEADER || role == ROLE_ALONE) {
        leadership->led_at = now;
    }
    leadership->role = role;
    return role;
}

struct mono leadership_until(const struct leadership *leadership)
{
    if (leadership->role == ROLE_LEADER) {
        return mono_add(leadership->renewed_at, send_ms(leadership));
    }
    if (leadership->role == ROLE_ALONE) {
        return leadership->others == 0 ? MONO_NEVER : mono_add(leadership->down_at, leadership->word_ms);
    }
    return (struct mono){0};
}

struct mono leadership_changes_at(const struct leadership *leadership, struct mono now)
{
    bool is_redis_seen = is_recent(leadership, leadership->up_at, now);
    struct mono unseen_at = is_redis_seen ? mono_add(leadership->up_at, leadership->word_ms) : MONO_NEVER;
    switch (leadership->role) {
    case ROLE_LEADER:
    case ROLE_ALONE:
        return leadership_until(leadership);
    case ROLE_FROZEN:
        return mono_min(unseen_at, mono_add(frozen_from(leadership, is_redis_seen), frozen_ms(leadership)));
    case ROLE_STANDBY:
        break;
    }
    return leadership->has_redis ? MONO_NEVER : unseen_at;
}

bool leadership_may_take(const struct leadership *leadership, struct mono now)
{
    return leadership->role != ROLE_STANDBY || mono_reached(now, leadership->may_take_at);
}

uint64_t leadership_claim(const struct leadership *leadership)
{
    return leadership->role == ROLE_STANDBY ? 0 : leadership->granted;
}

const char *leadership_role_name(enum leader_role role)
{
    static const char *const names[] = {[ROLE_STANDBY] = "standby",
                                        [ROLE_LEADER] = "leader",
                                        [ROLE_ALONE] = "leader without Redis",
                                        [ROLE_FROZEN] = "frozen"};
    return names[role];
}
