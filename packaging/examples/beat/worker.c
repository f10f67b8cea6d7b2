/*
 * A program that beats for itself: cc worker.c $(pkg-config --cflags --libs defib-beat) -o worker
 *
 * Takes the Redis from REDIS_URL. Ends on SIGTERM, and says so.
 */
#include <defib_beat.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>

static volatile sig_atomic_t is_ending;

static void on_term(int signal_number)
{
    (void)signal_number;
    is_ending = 1;
}

int main(void)
{
    const struct defib_beat_options options = {
        .service = "worker",
        .version = "1.0",
        .status = DEFIB_BEAT_HEALTHY,
    };
    char why[DEFIB_BEAT_WHY];
    struct defib_beat *beat = defib_beat_new(&options, why);
    if (beat == NULL) {
        fprintf(stderr, "worker: %s\n", why);
        return 2;
    }
    signal(SIGTERM, on_term);
    for (long done = 0; !is_ending; done++) {
        poll(NULL, 0, 100); /* the work */
        defib_beat_check(beat, "queue_ok", true);
        defib_beat_count(beat, "jobs_done", done);
        defib_beat_metric(beat, "load", 0.5);
        defib_beat_step(beat);
    }
    defib_beat_end(beat, 1000);
    defib_beat_free(beat);
    return 0;
}
