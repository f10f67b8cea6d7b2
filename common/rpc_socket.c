#include "common/rpc_socket.h"

#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/resource.h>
#include <unistd.h>

#include <nng/nng.h>
#include <nng/protocol/reqrep0/rep.h>
#include <nng/supplemental/util/platform.h>

#include "common/clock.h"
#include "common/memory.h"
#include "common/thread.h"

enum {
    CLOSE_PATIENCE_S = 15,
    DIAL_PATIENCE_MS = 12 * 1000, /* nng ends a handshake after 10 s; */
    DIAL_GUESS_MS = 8 * 1000,     /* and by up to this later, so that no peer knows when */
    GRAVEYARD_STEP_MS = 20
};

void rpc_socket_must(int code, const char *what)
{
    if (code != 0) {
        fprintf(stderr, "nng: %s: %s\n", what, nng_strerror(code));
        abort();
    }
}

/* nng starts two threads for each core by default; the work here is microseconds of copying. 1.5 cannot be
 * told. */
static void limit_threads(void)
{
#if NNG_MAJOR_VERSION == 1 && NNG_MINOR_VERSION >= 8
    nng_init_set_parameter(NNG_INIT_NUM_TASK_THREADS, 2);
    nng_init_set_parameter(NNG_INIT_NUM_EXPIRE_THREADS, 1);
    nng_init_set_parameter(NNG_INIT_NUM_POLLER_THREADS, 1);
    nng_init_set_parameter(NNG_INIT_NUM_RESOLVER_THREADS, 1);
#endif
}

/* Connections cost descriptors, and strangers open them too: take all that the hard limit allows. */
static void raise_descriptors(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

void rpc_socket_prepare(void)
{
    limit_threads();
    raise_descriptors();
}

/* ---- closing sockets ---- */

struct rpc_socket_pipes {
    pthread_mutex_t mutex;
    int standing;
    bool is_closing;       /* losses are ours */
    struct rpc_door *door; /* owned; NULL for clients and ipc */
};

struct funeral {
    nng_socket socket;
    struct rpc_socket_pipes *pipes; /* taken; may be NULL */
    struct mono from;               /* not before */
    struct mono latest;             /* for a socket that dials */
    STAILQ_ENTRY(funeral) place;    /* among those that wait */
    pthread_mutex_t mutex;
    pthread_cond_t is_over;
    bool is_closed;
};

/* One thread sees to all sockets that wait for their time: forged registrations can make them many. */
static struct {
    pthread_mutex_t mutex;
    STAILQ_HEAD(, funeral) waiting;
    bool is_attended;
} graveyard = {.mutex = PTHREAD_MUTEX_INITIALIZER, .waiting = STAILQ_HEAD_INITIALIZER(graveyard.waiting)};

static struct funeral *funeral_new(nng_socket socket, struct rpc_socket_pipes *pipes, int delay_ms)
{
    struct funeral *funeral = memory_alloc(sizeof *funeral);
    funeral->socket = socket;
    funeral->pipes = pipes;
    funeral->from = mono_add(clock_mono_now(), delay_ms);
    funeral->latest = mono_add(funeral->from, DIAL_PATIENCE_MS + nng_random() % DIAL_GUESS_MS);
    pthread_mutex_init(&funeral->mutex, NULL);
    pthread_cond_init(&funeral->is_over, NULL);
    return funeral;
}

struct rpc_socket_pipes *rpc_socket_pipes_new(struct rpc_door *door)
{
    struct rpc_socket_pipes *pipes = memory_alloc(sizeof *pipes);
    pthread_mutex_init(&pipes->mutex, NULL);
    pipes->door = door;
    return pipes;
}

void rpc_socket_pipes_free(struct rpc_socket_pipes *pipes)
{
    if (pipes != NULL) {
        pthread_mutex_destroy(&pipes->mutex);
        rpc_door_free(pipes->door);
        free(pipes);
    }
}

bool rpc_socket_pipes_stand(struct rpc_socket_pipes *pipes)
{
    pthread_mutex_lock(&pipes->mutex);
    bool is_connected = pipes->standing > 0;
    pthread_mutex_unlock(&pipes->mutex);
    return is_connected;
}

struct rpc_door *rpc_socket_pipes_door(struct rpc_socket_pipes *pipes)
{
    return pipes->door;
}

static void *run_close(void *arg)
{
    struct funeral *funeral = arg;
    nng_close(funeral->socket);
    pthread_mutex_lock(&funeral->mutex);
    funeral->is_closed = true;
    pthread_cond_signal(&funeral->is_over);
    pthread_mutex_unlock(&funeral->mutex);
    return NULL;
}

/* In steps of a second, so that a process that was stopped meanwhile is not taken for a hang. */
static bool wait_for_close(struct funeral *funeral)
{
    pthread_mutex_lock(&funeral->mutex);
    for (int second = 0; second < CLOSE_PATIENCE_S && !funeral->is_closed; second++) {
        thread_wait(&funeral->is_over, &funeral->mutex, mono_add(clock_mono_now(), 1000));
    }
    bool is_closed = funeral->is_closed;
    pthread_mutex_unlock(&funeral->mutex);
    return is_closed;
}

static pthread_t need_thread(void *(*run)(void *arg), void *arg)
{
    pthread_t thread;
    int code = thread_start(&thread, run, arg);
    if (code != 0) {
        fprintf(stderr, "rpc: no thread: %s\n", strerror(code));
        abort();
    }
    return thread;
}

static void hold(struct funeral *funeral)
{
    pthread_t closer = need_thread(run_close, funeral);
    if (!wait_for_close(funeral)) {
        fputs("rpc: nng hangs in closing a socket, and no connection would be made again: giving up\n",
              stderr);
        abort();
    }
    pthread_join(closer, NULL);
    rpc_socket_pipes_free(funeral->pipes);
    pthread_mutex_destroy(&funeral->mutex);
    pthread_cond_destroy(&funeral->is_over);
    free(funeral);
}

/* A client that stands does not dial; who has a door never does. */
static bool may_be_in_handshake(const struct funeral *funeral)
{
    return funeral->pipes != NULL && funeral->pipes->door == NULL && !rpc_socket_pipes_stand(funeral->pipes);
}

static bool is_due(const struct funeral *funeral, struct mono now)
{
    return mono_reached(now, funeral->from) &&
           (mono_reached(now, funeral->latest) || !may_be_in_handshake(funeral));
}

/* NULL: none is. False: none is left, and nobody attends any more. */
static bool take_due(struct funeral **out)
{
    struct mono now = clock_mono_now();
    pthread_mutex_lock(&graveyard.mutex);
    struct funeral *funeral;
    STAILQ_FOREACH (funeral, &graveyard.waiting, place) {
        if (is_due(funeral, now)) {
            STAILQ_REMOVE(&graveyard.waiting, funeral, funeral, place);
            break;
        }
    }
    graveyard.is_attended = funeral != NULL || !STAILQ_EMPTY(&graveyard.waiting);
    bool goes_on = graveyard.is_attended;
    pthread_mutex_unlock(&graveyard.mutex);
    *out = funeral;
    return goes_on;
}

static void *attend(void *arg)
{
    (void)arg;
    struct funeral *funeral;
    while (take_due(&funeral)) {
        if (funeral != NULL) {
            hold(funeral);
        } else {
            nng_msleep(GRAVEYARD_STEP_MS);
        }
    }
    return NULL;
}

void rpc_socket_bury(const nng_socket *socket, struct rpc_socket_pipes *pipes, int delay_ms)
{
    if (pipes != NULL) {
        pthread_mutex_lock(&pipes->mutex);
        pipes->is_closing = true;
        pthread_mutex_unlock(&pipes->mutex);
    }
    struct funeral *funeral = funeral_new(*socket, pipes, delay_ms);
    pthread_mutex_lock(&graveyard.mutex);
    STAILQ_INSERT_TAIL(&graveyard.waiting, funeral, place);
    bool is_attended = graveyard.is_attended;
    graveyard.is_attended = true;
    pthread_mutex_unlock(&graveyard.mutex);
    if (!is_attended) {
        pthread_detach(need_thread(attend, NULL));
    }
}

enum probe_state { PROBE_IDLE, PROBE_RUNNING, PROBE_ASKED_AGAIN };

/* Process-wide, as what it watches is. */
static _Atomic int probe_state;

/* A listener is ended by the same thread as connections are: its socket only closes while that thread lives.
 */
static void probe_once(void)
{
    char url[64];
    snprintf(url, sizeof url, "inproc://defib-probe-%d", getpid());
    nng_msleep(RPC_QUIET_MS);
    nng_socket socket;
    nng_listener listener;
    if (nng_rep0_open(&socket) != 0) {
        return;
    }
    (void)nng_listen(socket, url, &listener, 0);
    hold(funeral_new(socket, NULL, 0));
}

static void *run_probe(void *arg)
{
    (void)arg;
    int was;
    do {
        atomic_store(&probe_state, PROBE_RUNNING);
        probe_once();
        was = PROBE_RUNNING;
    } while (!atomic_compare_exchange_strong(&probe_state, &was, PROBE_IDLE));
    return NULL;
}

static void start_probe(void)
{
    if (atomic_exchange(&probe_state, PROBE_ASKED_AGAIN) == PROBE_IDLE) {
        pthread_detach(need_thread(run_probe, NULL));
    }
}

bool rpc_socket_address(const nng_sockaddr *from, struct sockaddr_storage *out)
{
    memset(out, 0, sizeof *out);
    if (from->s_family == NNG_AF_INET) {
        struct sockaddr_in *v4 = (struct sockaddr_in *)out;
        v4->sin_family = AF_INET;
        v4->sin_port = from->s_in.sa_port;
        v4->sin_addr.s_addr = from->s_in.sa_addr;
        return true;
    }
    if (from->s_family == NNG_AF_INET6) {
        struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)out;
        v6->sin6_family = AF_INET6;
        v6->sin6_port = from->s_in6.sa_port;
        memcpy(&v6->sin6_addr, from->s_in6.sa_addr, sizeof v6->sin6_addr);
        return true;
    }
    return false;
}

static void tell_door(struct rpc_door *door, nng_pipe pipe, nng_pipe_ev event)
{
    nng_sockaddr peer;
    struct sockaddr_storage address;
    if (event == NNG_PIPE_EV_REM_POST) {
        rpc_door_left(door, (uint32_t)nng_pipe_id(pipe));
    } else if (nng_pipe_get_addr(pipe, NNG_OPT_REMADDR, &peer) == 0 && rpc_socket_address(&peer, &address)) {
        rpc_door_let_in(door, (uint32_t)nng_pipe_id(pipe), (const struct sockaddr *)&address);
    }
}

/* On nng's thread that ends connections, before it ends this one. */
static void on_pipe(nng_pipe pipe, nng_pipe_ev event, void *arg)
{
    struct rpc_socket_pipes *pipes = arg;
    if (pipes->door != NULL) {
        tell_door(pipes->door, pipe, event);
    }
    pthread_mutex_lock(&pipes->mutex);
    pipes->standing += event == NNG_PIPE_EV_ADD_POST ? 1 : -1;
    bool is_lost = event == NNG_PIPE_EV_REM_POST && !pipes->is_closing;
    pthread_mutex_unlock(&pipes->mutex);
    if (is_lost) {
        start_probe();
    }
}

void rpc_socket_pipes_watch(const nng_socket *socket, struct rpc_socket_pipes *pipes)
{
    rpc_socket_must(nng_pipe_notify(*socket, NNG_PIPE_EV_ADD_POST, on_pipe, pipes), "notify");
    rpc_socket_must(nng_pipe_notify(*socket, NNG_PIPE_EV_REM_POST, on_pipe, pipes), "notify");
}

/* ---- URLs ---- */

static bool begins_with(const char *text, const char *start)
{
    return strncmp(text, start, strlen(start)) == 0;
}

bool rpc_socket_is_tls(const char *url)
{
    return begins_with(url, "tls+tcp://");
}

int rpc_socket_check_url(const char *url, const struct rpc_tls *tls, struct err *err)
{
    if (!begins_with(url, "tcp://") && !begins_with(url, "ipc://") && !rpc_socket_is_tls(url)) {
        return err_set(err, EINVAL, "%s: must begin with tcp://, ipc:// or tls+tcp://", url);
    }
    if (rpc_socket_is_tls(url) &&
        (tls == NULL || tls->ca_file == NULL || tls->cert_file == NULL || tls->key_file == NULL)) {
        return err_set(err, EINVAL, "%s: needs a CA, a certificate and a key file", url);
    }
    return 0;
}
