/*
 * heartbeat_facts_decode says of every document what heartbeat_decode says: taken or refused, for the same
 * reason, with the same facts. Its seeds are those of the heartbeat.
 */
#include "common/memory.h"
#include "proto/heartbeat_facts.h"
#include "tests/fuzz/fuzz.h"

#define EXPECT_TEXT(member)  fuzz_must(strcmp(facts->member, whole->member) == 0, #member)
#define EXPECT_VALUE(member) fuzz_must(facts->member == whole->member, #member)

static void expect_same(const struct heartbeat *facts, const struct heartbeat *whole)
{
    EXPECT_TEXT(service);
    EXPECT_TEXT(instance_id);
    EXPECT_VALUE(status);
    EXPECT_TEXT(status_word);
    EXPECT_VALUE(started_at.ms);
    EXPECT_VALUE(timestamp.ms);
    EXPECT_TEXT(version);
    EXPECT_TEXT(hostname);
    EXPECT_TEXT(source);
    EXPECT_TEXT(host);
    EXPECT_TEXT(container);
    EXPECT_TEXT(container_id);
    EXPECT_TEXT(incarnation);
    EXPECT_TEXT(agent);
    EXPECT_VALUE(seq);
    EXPECT_VALUE(state);
    EXPECT_VALUE(health);
    EXPECT_VALUE(stop_class);
    EXPECT_VALUE(is_docker_restarting);
    EXPECT_VALUE(has_exit_code);
    EXPECT_VALUE(exit_code);
    EXPECT_VALUE(oom_killed);
    EXPECT_VALUE(restart_count);
    EXPECT_VALUE(finished_at.ms);
    EXPECT_TEXT(error);
    EXPECT_TEXT(last_command);
    EXPECT_VALUE(last_command_code);
    EXPECT_VALUE(last_command_unstored);
    EXPECT_VALUE(last_command_at.ms);
}

/* The two start from different rubbish, so that what one of them leaves untouched shows. */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct heartbeat facts, whole;
    struct err facts_err = {0}, whole_err = {0};
    memset(&facts, 0x55, sizeof facts);
    memset(&whole, 0xaa, sizeof whole);
    int facts_status = heartbeat_facts_decode((const char *)bytes, len, &facts, &facts_err);
    int whole_status = heartbeat_decode((const char *)bytes, len, &whole, &whole_err);
    fuzz_must(facts_status == whole_status, "status");
    fuzz_must(strcmp(facts_err.text, whole_err.text) == 0, "error");
    expect_same(&facts, &whole);
    heartbeat_fini(&facts);
    heartbeat_fini(&whole);
    return 0;
}
