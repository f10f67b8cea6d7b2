#include "common/nearest.h"

#include <string.h>

enum { COMPARED = 128 };

static size_t smaller(size_t left, size_t right)
{
    return left < right ? left : right;
}

/* Three rows of the usual table: swaps look two rows back. */
static size_t distance(const char *left, const char *right)
{
    size_t rows[3][COMPARED + 1];
    size_t left_len = strnlen(left, COMPARED), right_len = strnlen(right, COMPARED);
    for (size_t j = 0; j <= right_len; j++) {
        rows[0][j] = j;
    }
    for (size_t i = 1; i <= left_len; i++) {
        size_t *now = rows[i % 3], *last = rows[(i + 2) % 3], *before = rows[(i + 1) % 3];
        now[0] = i;
        for (size_t j = 1; j <= right_len; j++) {
            size_t change = last[j - 1] + (left[i - 1] != right[j - 1]);
            now[j] = smaller(change, smaller(last[j], now[j - 1]) + 1);
            if (i > 1 && j > 1 && left[i - 1] == right[j - 2] && left[i - 2] == right[j - 1]) {
                now[j] = smaller(now[j], before[j - 2] + 1);
            }
        }
    }
    return rows[left_len % 3][right_len];
}

void nearest_init(struct nearest *nearest, const char *wanted)
{
    *nearest = (struct nearest){.wanted = wanted};
}

void nearest_offer(struct nearest *nearest, const char *name)
{
    size_t away = distance(nearest->wanted, name);
    if (nearest->wanted[0] != '\0' && strstr(name, nearest->wanted) != NULL) {
        away = smaller(away, 1);
    }
    if (nearest->best == NULL || away < nearest->distance) {
        nearest->best = name;
        nearest->distance = away;
    }
}

const char *nearest_name(const struct nearest *nearest)
{
    if (nearest->best == NULL || 2 * nearest->distance > strnlen(nearest->best, COMPARED) + 1) {
        return NULL;
    }
    return nearest->best;
}
