#include "common/beat/beat_resolve.h"

#include <netdb.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/thread.h"

enum { STACK_BYTES = 512 * 1024 };

/* Shared with the thread; whoever lets go of it last frees it. */
struct beat_resolve {
    pthread_mutex_t mutex;
    bool is_answered, is_abandoned;
    char host[256];
    char port[8];
    int status; /* of getaddrinfo */
    struct beat_address addresses[BEAT_ADDRESSES_MAX];
    size_t count;
};

static void destroy(struct beat_resolve *resolve)
{
    pthread_mutex_destroy(&resolve->mutex);
    free(resolve);
}

static void ask(struct beat_resolve *resolve, int flags)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = flags | AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    resolve->status = getaddrinfo(resolve->host, resolve->port, &hints, &found);
    if (resolve->status != 0) {
        return;
    }
    for (const struct addrinfo *each = found; each != NULL && resolve->count < BEAT_ADDRESSES_MAX;
         each = each->ai_next) {
        memcpy(&resolve->addresses[resolve->count].address, each->ai_addr, each->ai_addrlen);
        resolve->addresses[resolve->count++].len = each->ai_addrlen;
    }
    freeaddrinfo(found);
}

static void *run_thread(void *arg)
{
    struct beat_resolve *resolve = arg;
    ask(resolve, 0);
    pthread_mutex_lock(&resolve->mutex);
    resolve->is_answered = true;
    bool is_abandoned = resolve->is_abandoned;
    pthread_mutex_unlock(&resolve->mutex);
    if (is_abandoned) {
        destroy(resolve);
    }
    return NULL;
}

struct beat_resolve *beat_resolve_start(const char *host, int port)
{
    struct beat_resolve *resolve = calloc(1, sizeof *resolve);
    if (resolve == NULL) {
        return NULL;
    }
    pthread_mutex_init(&resolve->mutex, NULL);
    snprintf(resolve->host, sizeof resolve->host, "%s", host);
    snprintf(resolve->port, sizeof resolve->port, "%d", port);
    ask(resolve, AI_NUMERICHOST);
    if (resolve->status != EAI_NONAME) {
        resolve->is_answered = true;
    } else if (thread_start_detached(STACK_BYTES, run_thread, resolve) != 0) {
        destroy(resolve);
        return NULL;
    }
    return resolve;
}

_Bool beat_resolve_poll(struct beat_resolve *resolve, struct beat_address out[BEAT_ADDRESSES_MAX],
                        size_t *count, const char **failure)
{
    pthread_mutex_lock(&resolve->mutex);
    bool is_answered = resolve->is_answered;
    pthread_mutex_unlock(&resolve->mutex);
    if (is_answered) {
        *failure = resolve->status == 0 ? NULL : gai_strerror(resolve->status);
        *count = resolve->count;
        memcpy(out, resolve->addresses, sizeof resolve->addresses);
    }
    return is_answered;
}

void beat_resolve_free(struct beat_resolve *resolve)
{
    if (resolve == NULL) {
        return;
    }
    pthread_mutex_lock(&resolve->mutex);
    bool is_ours = resolve->is_answered;
    resolve->is_abandoned = true;
    pthread_mutex_unlock(&resolve->mutex);
    if (is_ours) {
        destroy(resolve);
    }
}
