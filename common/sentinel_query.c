#include "common/sentinel_query.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/memory.h"
#include "common/redis_link.h"

enum { PORT_MAX = 65535, REASON_SIZE = 256 };

struct sentinel_query {
    struct loop *loop;
    struct redis_url url;
    size_t first, asked;
    int64_t timeout_ms;
    sentinel_query_callback on_done;
    void *arg;
    struct redis_link *link;
    struct loop_timer *turn; /* to the next one, outside of the last one's callback */
    char reason[REASON_SIZE];
};

static void ask_next(struct sentinel_query *query, const char *reason)
{
    memory_set_text(query->reason, sizeof query->reason, reason);
    loop_timer_start(query->turn, 0, 0);
}

static int to_port(const char *text)
{
    char *end;
    long port = text == NULL ? 0 : strtol(text, &end, 10);
    return port < 1 || port > PORT_MAX || *end != '\0' ? 0 : (int)port;
}

static void on_address(void *arg, const struct redis_reply *reply)
{
    struct sentinel_query *query = arg;
    if (reply == NULL) {
        return; /* on_down tells */
    }
    const char *host = redis_reply_text(redis_reply_at(reply, 0), NULL);
    int port = to_port(redis_reply_text(redis_reply_at(reply, 1), NULL));
    if (redis_reply_count(reply) == 2 && host != NULL && strlen(host) < sizeof query->url.host && port != 0) {
        query->on_done(query->arg, NULL, host, port);
        return;
    }
    char reason[REASON_SIZE];
    const char *text = redis_reply_text(reply, NULL);
    if (redis_reply_type(reply) == REDIS_REPLY_NONE) {
        snprintf(reason, sizeof reason, "it knows no master %s", query->url.master);
    } else {
        snprintf(reason, sizeof reason, "%.200s", text == NULL ? "unexpected answer" : text);
    }
    ask_next(query, reason);
}

static void on_up(void *arg)
{
    struct sentinel_query *query = arg;
    const char *argv[] = {"SENTINEL", "GET-MASTER-ADDR-BY-NAME", query->url.master};
    redis_link_command(query->link, on_address, query, 3, argv, NULL);
}

static void on_down(void *arg, const char *reason)
{
    ask_next(arg, reason);
}

static void on_turn(void *arg)
{
    struct sentinel_query *query = arg;
    redis_link_close(query->link);
    query->link = NULL;
    if (query->asked == query->url.sentinel_count) {
        query->on_done(query->arg, query->reason, NULL, 0);
        return;
    }
    const struct redis_sentinel *next =
        &query->url.sentinels[(query->first + query->asked++) % query->url.sentinel_count];
    struct redis_url url = {.port = next->port, .is_tls = query->url.is_tls};
    memory_set_text(url.host, sizeof url.host, next->host);
    struct redis_link_options options = {.url = &url,
                                         .connect_timeout_ms = query->timeout_ms,
                                         .command_timeout_ms = query->timeout_ms,
                                         .on_up = on_up,
                                         .on_down = on_down,
                                         .arg = query};
    query->link = redis_link_open(query->loop, &options);
}

struct sentinel_query *sentinel_query_start(struct loop *loop, const struct redis_url *url, size_t first,
                                            int64_t timeout_ms, sentinel_query_callback on_done, void *arg)
{
    struct sentinel_query *query = memory_alloc(sizeof *query);
    query->loop = loop;
    query->url = *url;
    query->first = first;
    query->timeout_ms = timeout_ms;
    query->on_done = on_done;
    query->arg = arg;
    query->turn = loop_timer_new(loop, on_turn, query);
    ask_next(query, "no Sentinel is named");
    return query;
}

void sentinel_query_free(struct sentinel_query *query)
{
    if (query == NULL) {
        return;
    }
    struct redis_link *link = query->link;
    query->link = NULL;
    loop_timer_free(query->turn);
    redis_link_close(link);
    free(query);
}
