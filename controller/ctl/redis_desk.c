#include "controller/ctl/redis_desk.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/memory.h"

enum { CONNECT_MS = 3000, COMMAND_MS = 5000, KEYS_MAX = 200000 };

struct redis_desk {
    struct loop *loop;
    const struct redis_url *url;
    struct redis_link *link;
    struct loop_timer *timer;
    char reason[256]; /* why it is not up */
    struct desk_reply *reply;
    bool is_answered;
};

static void on_up(void *arg)
{
    struct redis_desk *desk = arg;
    loop_stop(desk->loop);
}

static void on_down(void *arg, const char *reason)
{
    struct redis_desk *desk = arg;
    memory_set_text(desk->reason, sizeof desk->reason, reason);
    loop_stop(desk->loop);
}

static void on_timer(void *arg)
{
    struct redis_desk *desk = arg;
    loop_stop(desk->loop);
}

struct redis_desk *redis_desk_new(struct loop *loop, const struct settings *settings)
{
    struct redis_desk *desk = memory_alloc(sizeof *desk);
    desk->loop = loop;
    desk->url = &settings->redis_url;
    desk->timer = loop_timer_new(loop, on_timer, desk);
    return desk;
}

void redis_desk_free(struct redis_desk *desk)
{
    if (desk == NULL) {
        return;
    }
    redis_link_close(desk->link);
    loop_timer_free(desk->timer);
    free(desk);
}

void redis_desk_reply_fini(struct desk_reply *reply)
{
    for (size_t i = 0; i < reply->count; i++) {
        redis_desk_reply_fini(&reply->items[i]);
    }
    free(reply->items);
    free(reply->text);
    *reply = (struct desk_reply){.type = REDIS_REPLY_NONE};
}

/* Until it is up, or the first try has failed. */
static int open_link(struct redis_desk *desk, struct err *err)
{
    struct redis_link_options options = {.url = desk->url,
                                         .client_name = "defibctl",
                                         .connect_timeout_ms = CONNECT_MS,
                                         .command_timeout_ms = COMMAND_MS,
                                         .on_up = on_up,
                                         .on_down = on_down,
                                         .arg = desk};
    memory_set_text(desk->reason, sizeof desk->reason, "it does not answer");
    desk->link = redis_link_open(desk->loop, &options);
    loop_timer_start(desk->timer, CONNECT_MS, 0);
    loop_run(desk->loop);
    loop_timer_stop(desk->timer);
    if (!redis_link_is_up(desk->link)) {
        redis_link_close(desk->link);
        desk->link = NULL;
        return err_set(err, ENOTCONN, "Redis is not reached: %s", desk->reason);
    }
    return 0;
}

static void keep(const struct redis_reply *from, struct desk_reply *out)
{
    out->type = redis_reply_type(from);
    const char *text = redis_reply_text(from, &out->len);
    if (text != NULL) {
        out->text = memory_alloc(out->len + 1);
        memcpy(out->text, text, out->len);
    }
    out->number = out->type == REDIS_REPLY_NUMBER ? redis_reply_number(from) : 0;
    out->count = redis_reply_count(from);
    out->items = out->count == 0 ? NULL : memory_alloc(out->count * sizeof *out->items);
    for (size_t i = 0; i < out->count; i++) {
        keep(redis_reply_at(from, i), &out->items[i]);
    }
}

static void on_reply(void *arg, const struct redis_reply *reply)
{
    struct redis_desk *desk = arg;
    if (reply != NULL) {
        keep(reply, desk->reply);
        desk->is_answered = true;
    }
    loop_stop(desk->loop);
}

int redis_desk_call(struct redis_desk *desk, int argc, const char *const *argv, struct desk_reply *out,
                    struct err *err)
{
    *out = (struct desk_reply){.type = REDIS_REPLY_NONE};
    int result = desk->link == NULL ? open_link(desk, err) : 0;
    if (result != 0) {
        return result;
    }
    desk->reply = out;
    desk->is_answered = false;
    result = redis_link_command(desk->link, on_reply, desk, argc, argv, NULL);
    if (result == 0) {
        loop_run(desk->loop);
    }
    if (result != 0 || !desk->is_answered) {
        return err_set(err, ENOTCONN, "Redis was lost: %s", desk->reason);
    }
    return out->type == REDIS_REPLY_FAILURE ? err_set(err, EIO, "Redis refuses %s: %s", argv[0], out->text)
                                            : 0;
}

static void add_items(struct desk_reply *out, struct desk_reply *page)
{
    out->items = memory_grow(out->items, out->count + page->count + 1, sizeof *out->items);
    for (size_t i = 0; i < page->count; i++) {
        out->items[out->count++] = page->items[i];
    }
    page->count = 0; /* they are the other's now */
}

int redis_desk_scan(struct redis_desk *desk, const char *pattern, struct desk_reply *out, struct err *err)
{
    char cursor[32] = "0";
    *out = (struct desk_reply){.type = REDIS_REPLY_LIST};
    do {
        const char *argv[] = {"SCAN", cursor, "MATCH", pattern, "COUNT", "1000"};
        cleanup_desk_reply struct desk_reply page;
        int result = redis_desk_call(desk, 6, argv, &page, err);
        if (result != 0) {
            return result;
        }
        if (page.count != 2 || page.items[0].text == NULL || out->count > KEYS_MAX) {
            return err_set(err, EIO, "Redis answers SCAN with something else");
        }
        memory_set_text(cursor, sizeof cursor, page.items[0].text);
        add_items(out, &page.items[1]);
    } while (strcmp(cursor, "0") != 0);
    return 0;
}
