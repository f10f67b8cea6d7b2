#include "controller/core/wake_queue.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { NODES = 60, STEPS = 20000 };

struct model {
    bool is_queued;
    int64_t at;
    uint64_t order;
};

static uint32_t next_random(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005ULL + 1442695040888963407ULL;
    return (uint32_t)(*seed >> 33);
}

static int first_of(const struct model *models)
{
    int first = -1;
    for (int i = 0; i < NODES; i++) {
        if (models[i].is_queued &&
            (first < 0 || models[i].at < models[first].at ||
             (models[i].at == models[first].at && models[i].order < models[first].order))) {
            first = i;
        }
    }
    return first;
}

static void like_a_list_that_is_searched(void **state)
{
    (void)state;
    static struct wake_node nodes[NODES];
    static struct model models[NODES];
    struct wake_queue queue = {0};
    uint64_t seed = 7, order = 0;
    for (int i = 0; i < NODES; i++) {
        nodes[i].owner = &nodes[i];
    }
    for (int step = 0; step < STEPS; step++) {
        int which = (int)(next_random(&seed) % NODES);
        uint32_t what = next_random(&seed) % 8;
        if (what < 5) {
            int64_t at = (int64_t)(next_random(&seed) % 50);
            bool is_move = !models[which].is_queued || models[which].at != at;
            wake_queue_set(&queue, &nodes[which], (struct mono){at});
            models[which] = (struct model){true, at, is_move ? ++order : models[which].order};
        } else if (what == 5) {
            wake_queue_set(&queue, &nodes[which], MONO_NEVER);
            models[which].is_queued = false;
        } else if (what == 6) {
            wake_queue_remove(&queue, &nodes[which]);
            models[which].is_queued = false;
        }
        int first = first_of(models);
        struct wake_node *node = wake_queue_first(&queue);
        assert_int_equal(first >= 0, node != NULL);
        if (first >= 0) {
            assert_int_equal(models[first].at, node->at.ms);
            assert_true(models[node - nodes].is_queued);
        }
    }
    wake_queue_fini(&queue);
}

static void equal_times_in_their_order(void **state)
{
    (void)state;
    static struct wake_node nodes[20];
    struct wake_queue queue = {0};
    for (int i = 0; i < 20; i++) {
        wake_queue_set(&queue, &nodes[i], (struct mono){5});
    }
    for (int i = 0; i < 20; i++) {
        assert_ptr_equal(&nodes[i], wake_queue_first(&queue));
        wake_queue_remove(&queue, &nodes[i]);
    }
    assert_null(wake_queue_first(&queue));
    wake_queue_fini(&queue);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(like_a_list_that_is_searched),
        cmocka_unit_test(equal_times_in_their_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
