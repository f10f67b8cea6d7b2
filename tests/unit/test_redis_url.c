#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "common/redis_url.h"

static void takes_good_ones_apart(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        struct redis_url url;
        const char *described;
    } CASES[] = {
        {"redis://127.0.0.1", {.host = "127.0.0.1", .port = 6379}, "127.0.0.1:6379/0"},
        {"redis://redis:6380", {.host = "redis", .port = 6380}, "redis:6380/0"},
        {"redis://redis/", {.host = "redis", .port = 6379}, "redis:6379/0"},
        {"redis://redis:1/15", {.host = "redis", .port = 1, .db = 15}, "redis:1/15"},
        {"redis://redis?db=7", {.host = "redis", .port = 6379, .db = 7}, "redis:6379/7"},
        {"REDIS://redis:65535/65535", {.host = "redis", .port = 65535, .db = 65535}, "redis:65535/65535"},
        {"rediss://r.example.com",
         {.host = "r.example.com", .port = 6379, .is_tls = true},
         "r.example.com:6379/0"},
        {"redis://:pw@h", {.host = "h", .port = 6379, .password = "pw"}, "h:6379/0"},
        {"redis://me@h", {.host = "h", .port = 6379, .user = "me"}, "h:6379/0"},
        {"redis://me:pw@h:2/3", {.host = "h", .port = 2, .user = "me", .password = "pw", .db = 3}, "h:2/3"},
        {"redis://m%65:p%40%3a%2F%25@h",
         {.host = "h", .port = 6379, .user = "me", .password = "p@:/%"},
         "h:6379/0"},
        {"redis://me:p@:w@h", {.host = "h", .port = 6379, .user = "me", .password = "p@:w"}, "h:6379/0"},
        {"redis://[::1]", {.host = "::1", .port = 6379}, "[::1]:6379/0"},
        {"redis://u:p@[fe80::1%eth0]:7/1",
         {.host = "fe80::1%eth0", .port = 7, .user = "u", .password = "p", .db = 1},
         "[fe80::1%eth0]:7/1"},
        {"redis+sentinel://me:pw@a,b:7,[::1]/main/3",
         {.user = "me",
          .password = "pw",
          .db = 3,
          .master = "main",
          .sentinel_count = 3,
          .sentinels = {{"a", 26379}, {"b", 7}, {"::1", 26379}}},
         "Sentinel main"},
        {"rediss+sentinel://a/m?db=2",
         {.is_tls = true, .db = 2, .master = "m", .sentinel_count = 1, .sentinels = {{"a", 26379}}},
         "Sentinel m"},
        {"unix:///run/redis.sock", {.path = "/run/redis.sock"}, "unix:/run/redis.sock/0"},
        {"unix:///a%20b?db=3", {.path = "/a b", .db = 3}, "unix:/a b/3"},
        {"unix://u:p@/run/r", {.path = "/run/r", .user = "u", .password = "p"}, "unix:/run/r/0"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        struct redis_url url;
        struct err err = {.code = 0};
        if (redis_url_parse(CASES[i].text, &url, &err) != 0) {
            fail_msg("%s: %s", CASES[i].text, err.text);
        }
        assert_string_equal(CASES[i].url.host, url.host);
        assert_string_equal(CASES[i].url.path, url.path);
        assert_string_equal(CASES[i].url.user, url.user);
        assert_string_equal(CASES[i].url.password, url.password);
        assert_int_equal(CASES[i].url.port, url.port);
        assert_int_equal(CASES[i].url.db, url.db);
        assert_int_equal(CASES[i].url.is_tls, url.is_tls);
        assert_string_equal(CASES[i].url.master, url.master);
        assert_int_equal(CASES[i].url.sentinel_count, url.sentinel_count);
        for (size_t n = 0; n < url.sentinel_count; n++) {
            assert_string_equal(CASES[i].url.sentinels[n].host, url.sentinels[n].host);
            assert_int_equal(CASES[i].url.sentinels[n].port, url.sentinels[n].port);
        }
        char described[128];
        redis_url_describe(&url, described, sizeof described);
        assert_string_equal(CASES[i].described, described);
    }
}

static void refuses_bad_ones_and_keeps_the_password(void **state)
{
    (void)state;
    static const struct {
        const char *text, *said;
    } CASES[] = {
        {"", "begin with"},
        {"redis:/h", "begin with"},
        {"127.0.0.1:6379", "begin with"},
        {"http://h", "begin with"},
        {"redis+sentinel://h:26379", "name"},
        {"redis+sentinel://h:26379/", "name"},
        {"redis+sentinel:///mymaster", "host"},
        {"redis+sentinel://a,,b/mymaster", "host"},
        {"redis+sentinel://a,b:x/mymaster", "port"},
        {"redis+sentinel://u:secret@a,b/mymaster/x", "database"},
        {"redis+sentinel://1,2,3,4,5,6,7,8,9/m", "at most 8"},
        {"redis://", "host"},
        {"redis://:6379", "host"},
        {"redis://u:secret@", "host"},
        {"redis://u:secret@h x", "host"},
        {"redis://h:", "port"},
        {"redis://h:0", "port"},
        {"redis://h:65536", "port"},
        {"redis://h:+1", "port"},
        {"redis://h:99999999999999999999", "port"},
        {"redis://::1", "host"},
        {"redis://2001:db8::1", "port"},
        {"redis://[::1", "brackets"},
        {"redis://[::1]6379", "brackets"},
        {"redis://[]", "host"},
        {"redis://h/-1", "database"},
        {"redis://h/65536", "database"},
        {"redis://h/1/2", "database"},
        {"redis://h/x", "database"},
        {"redis://h?db=", "database"},
        {"redis://h?db=1&x=2", "database"},
        {"redis://h?password=secret", "?db="},
        {"redis://u:secret%4@h", "password"},
        {"redis://u:secret%@h", "password"},
        {"redis://u:secret%zz@h", "password"},
        {"redis://u:secret%00@h", "password"},
        {"redis://u%4:secret@h", "user"},
        {"unix://", "absolute"},
        {"unix:///", "absolute"},
        {"unix://run/redis.sock", "absolute"},
        {"unix://u:secret@h/run", "absolute"},
        {"unix:///run/x?secret", "?db="},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        struct redis_url url = {.db = -5};
        struct err err = {.code = 0};
        if (redis_url_parse(CASES[i].text, &url, &err) != -EINVAL) {
            fail_msg("%s was taken", CASES[i].text);
        }
        if (strstr(err.text, CASES[i].said) == NULL || strstr(err.text, "secret") != NULL) {
            fail_msg("%s: %s", CASES[i].text, err.text);
        }
        assert_int_equal(-5, url.db);
    }
}

/* Each part at its bound and one past it. */
static void bounds_of_the_parts(void **state)
{
    (void)state;
    static const struct {
        const char *format;
        size_t room;
    } CASES[] = {{"redis://%s", 255}, {"redis://%s@h", 127}, {"redis://:%s@h", 511}, {"unix:///%s", 106}};
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        for (size_t extra = 0; extra < 2; extra++) {
            char part[600], text[700];
            size_t len = CASES[i].room + extra;
            memset(part, 'a', len);
            part[len] = '\0';
            char *at = stpncpy(text, CASES[i].format, strcspn(CASES[i].format, "%"));
            stpcpy(stpcpy(at, part), strchr(CASES[i].format, '%') + 2);
            struct redis_url url;
            assert_int_equal(extra == 0 ? 0 : -EINVAL, redis_url_parse(text, &url, NULL));
        }
    }
}

static void describing_cuts_to_the_size(void **state)
{
    (void)state;
    struct redis_url url;
    assert_int_equal(0, redis_url_parse("redis://redis:6379", &url, NULL));
    char out[8] = "zzzzzzz";
    redis_url_describe(&url, out, 6);
    assert_string_equal("redis", out);
    assert_int_equal('z', out[6]);
    redis_url_describe(&url, out, 0);
    assert_string_equal("redis", out);
}

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* Random bytes but NUL, and the same percent-encoded: each byte, or only those that need it. */
static void make_secret(uint64_t *random, char *plain, char *encoded)
{
    size_t len = next_random(random) % 40;
    for (size_t i = 0; i < len; i++) {
        unsigned char byte = (unsigned char)(1 + next_random(random) % 255);
        bool is_safe = (byte >= 'a' && byte <= 'z') || (byte >= '0' && byte <= '9');
        *plain++ = (char)byte;
        encoded += sprintf(encoded, is_safe && next_random(random) % 2 == 0 ? "%c" : "%%%02X", byte);
    }
    *plain = *encoded = '\0';
}

static void encoded_logins_come_back(void **state)
{
    (void)state;
    uint64_t random = 0x9e3779b97f4a7c15;
    for (int i = 0; i < 5000; i++) {
        char user[64], password[64], user_encoded[256], password_encoded[256], text[700];
        make_secret(&random, user, user_encoded);
        make_secret(&random, password, password_encoded);
        snprintf(text, sizeof text, "redis://%s:%s@host:1/2", user_encoded, password_encoded);
        struct redis_url url;
        assert_int_equal(0, redis_url_parse(text, &url, NULL));
        assert_string_equal(user, url.user);
        assert_string_equal(password, url.password);
        assert_string_equal("host", url.host);
        /* Any damage is refused or taken, within bounds (the sanitizers watch). */
        text[next_random(&random) % strlen(text)] = (char)(1 + next_random(&random) % 255);
        text[next_random(&random) % strlen(text)] = "%@:/?[]#"[next_random(&random) % 8];
        (void)redis_url_parse(text, &url, NULL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_good_ones_apart),
        cmocka_unit_test(refuses_bad_ones_and_keeps_the_password),
        cmocka_unit_test(bounds_of_the_parts),
        cmocka_unit_test(encoded_logins_come_back),
        cmocka_unit_test(describing_cuts_to_the_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
