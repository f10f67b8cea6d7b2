#include "common/resolver.h"

#include <netdb.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/memory.h"
#include "common/thread.h"

enum { STACK_BYTES = 512 * 1024 };

/* Shared with the thread; whoever lets go of it last frees it. */
struct question {
    pthread_mutex_t mutex;
    struct loop_wake *wake; /* NULL once nobody waits any more */
    bool is_answered;
    char host[256];
    char port[8];
    int status; /* of getaddrinfo */
    struct resolver_address addresses[RESOLVER_ADDRESSES_MAX];
    size_t count;
};

struct resolver {
    struct question *question;
    struct loop_wake *wake;
    resolver_callback on_done;
    void *arg;
};

static void question_free(struct question *question)
{
    pthread_mutex_destroy(&question->mutex);
    free(question);
}

static void keep_addresses(struct question *question, const struct addrinfo *found)
{
    for (; found != NULL && question->count < RESOLVER_ADDRESSES_MAX; found = found->ai_next) {
        struct resolver_address *kept = &question->addresses[question->count++];
        memcpy(&kept->address, found->ai_addr, found->ai_addrlen);
        kept->len = found->ai_addrlen;
    }
}

static void ask(struct question *question, int flags)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = flags | AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    question->status = getaddrinfo(question->host, question->port, &hints, &found);
    if (question->status == 0) {
        keep_addresses(question, found);
        freeaddrinfo(found);
    }
}

static void *run_thread(void *arg)
{
    struct question *question = arg;
    ask(question, 0);
    pthread_mutex_lock(&question->mutex);
    question->is_answered = true;
    bool is_wanted = question->wake != NULL;
    if (is_wanted) {
        loop_wake_send(question->wake);
    }
    pthread_mutex_unlock(&question->mutex);
    if (!is_wanted) {
        question_free(question);
    }
    return NULL;
}

static void on_wake(void *arg)
{
    struct resolver *resolver = arg;
    struct question *question = resolver->question;
    pthread_mutex_lock(&question->mutex);
    bool is_answered = question->is_answered;
    pthread_mutex_unlock(&question->mutex);
    if (!is_answered) {
        return;
    }
    const char *failure = question->status == 0 ? NULL : gai_strerror(question->status);
    resolver->on_done(resolver->arg, failure, question->addresses, question->count);
}

struct resolver *resolver_start(struct loop *loop, const char *host, int port, resolver_callback on_done,
                                void *arg)
{
    struct resolver *resolver = memory_alloc(sizeof *resolver);
    struct question *question = memory_alloc(sizeof *question);
    resolver->question = question;
    resolver->on_done = on_done;
    resolver->arg = arg;
    resolver->wake = loop_wake_new(loop, on_wake, resolver);
    pthread_mutex_init(&question->mutex, NULL);
    question->wake = resolver->wake;
    memory_set_text(question->host, sizeof question->host, host);
    snprintf(question->port, sizeof question->port, "%d", port);
    ask(question, AI_NUMERICHOST);
    if (question->status == EAI_NONAME) {
        if (thread_start_detached(STACK_BYTES, run_thread, question) == 0) {
            return resolver;
        }
        question->status = EAI_AGAIN;
    }
    question->is_answered = true;
    loop_wake_send(resolver->wake);
    return resolver;
}

void resolver_free(struct resolver *resolver)
{
    if (resolver == NULL) {
        return;
    }
    struct question *question = resolver->question;
    pthread_mutex_lock(&question->mutex);
    question->wake = NULL;
    bool is_ours = question->is_answered;
    pthread_mutex_unlock(&question->mutex);
    if (is_ours) {
        question_free(question);
    }
    loop_wake_free(resolver->wake);
    free(resolver);
}
