#include "controller/serve/explain_desk.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/memory.h"
#include "controller/core/decider_view.h"
#include "controller/serve/api_documents.h"
#include "controller/serve/check_report.h"
#include "proto/keys.h"

enum { MESSAGE_SIZE = 384 };

/* One that waits for Redis; its answer may come when nobody wants it any more. */
struct question {
    struct explain_desk *desk; /* NULL: it is gone */
    struct http_exchange *exchange;
    struct question *before, *next;
    char container[LIMIT_NAME_SIZE];
};

struct explain_desk {
    struct redis_session *session;
    struct scene (*look)(void *arg);
    void *arg;
    struct question *waiting;
};

struct explain_desk *explain_desk_new(struct redis_session *session, struct scene (*look)(void *arg),
                                      void *arg)
{
    struct explain_desk *desk = memory_alloc(sizeof *desk);
    *desk = (struct explain_desk){.session = session, .look = look, .arg = arg};
    return desk;
}

static void answer(struct http_exchange *exchange, int status, char *text, size_t len)
{
    http_server_answer(exchange, &(struct http_answer){
                                     .status = status, .type = "application/json", .text = text, .len = len});
}

static void render(const struct explain_desk *desk, struct http_exchange *exchange, const char *container,
                   const struct check_report *report)
{
    struct scene scene = desk->look(desk->arg);
    size_t len;
    char *text = api_documents_explanation(&scene, container, report, &len);
    if (text != NULL) {
        answer(exchange, 200, text, len);
        return;
    }
    char message[MESSAGE_SIZE];
    api_documents_unknown(&scene, "container", container, message, sizeof message);
    text = api_documents_error("unknown_container", message, &len);
    answer(exchange, 404, text, len);
}

/* ---- by way of Redis ---- */

static void read_reply(struct check_report *report, const char *container, const struct redis_reply *reply)
{
    if (redis_reply_type(reply) != REDIS_REPLY_LIST || redis_reply_count(reply) != 2) {
        return;
    }
    size_t len;
    const char *text = redis_reply_text(redis_reply_at(reply, 0), &len);
    check_report_beat(report, text, len);
    text = redis_reply_text(redis_reply_at(reply, 1), &len);
    check_report_registration(report, text, len, container);
}

static void unlink_question(struct question *question)
{
    if (question->before != NULL) {
        question->before->next = question->next;
    } else {
        question->desk->waiting = question->next;
    }
    if (question->next != NULL) {
        question->next->before = question->before;
    }
}

static void on_reply(void *arg, const struct redis_reply *reply)
{
    struct question *question = arg;
    if (question->desk != NULL) {
        struct check_report report = {.count = 0};
        unlink_question(question);
        read_reply(&report, question->container, reply);
        render(question->desk, question->exchange, question->container, &report);
    }
    free(question);
}

static bool ask(struct explain_desk *desk, struct http_exchange *exchange,
                const struct decider_view_container *view)
{
    char beat[KEY_SIZE], agent[KEY_SIZE];
    key_heartbeat(beat, view->service, view->instance);
    key_agent(agent, view->host);
    const char *argv[] = {"MGET", beat, agent};
    struct question *question = memory_alloc(sizeof *question);
    *question = (struct question){.desk = desk, .exchange = exchange, .next = desk->waiting};
    memory_set_text(question->container, sizeof question->container, view->name);
    if (redis_session_command(desk->session, on_reply, question, 3, argv, NULL) != 0) {
        free(question);
        return false;
    }
    if (desk->waiting != NULL) {
        desk->waiting->before = question;
    }
    desk->waiting = question;
    return true;
}

static bool has_more_to_say(const struct decider_view_container *view)
{
    bool is_running = strcmp(view->docker_state, "running") == 0 || view->host[0] == '\0';
    return is_running && strcmp(view->status, "healthy") != 0 && view->service[0] != '\0' &&
           view->instance[0] != '\0';
}

void explain_desk_answer(struct explain_desk *desk, struct http_exchange *exchange, const char *container)
{
    static const struct check_report nothing = {.count = 0};
    struct scene scene = desk->look(desk->arg);
    struct decider_view_container view;
    bool is_asked = decider_view_container(scene.parts.decider, container, &view) && has_more_to_say(&view) &&
                    ask(desk, exchange, &view);
    if (!is_asked) {
        render(desk, exchange, container, &nothing);
    }
}

void explain_desk_free(struct explain_desk *desk)
{
    if (desk == NULL) {
        return;
    }
    struct question *next = NULL;
    for (struct question *question = desk->waiting; question != NULL; question = next) {
        next = question->next;
        size_t len;
        char *text = api_documents_error("stopping", "the controller is stopping", &len);
        question->desk = NULL;
        answer(question->exchange, 503, text, len);
    }
    free(desk);
}
