#include "common/memory.h"
#include "common/redis_url.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    cleanup_free char *text = fuzz_text(bytes, len);
    struct redis_url url;
    struct err err;
    char described[512], without_login[512];
    if (redis_url_parse(text, &url, &err) != 0) {
        fuzz_must(err.text[0] != '\0', "refused without a word");
        return 0;
    }
    int places = (url.host[0] != '\0') + (url.path[0] != '\0') + (url.master[0] != '\0');
    fuzz_must(places == 1, "not one of host, path and master's name");
    fuzz_must((url.master[0] != '\0') == (url.sentinel_count > 0), "a master's name without Sentinels");
    fuzz_must(url.sentinel_count <= REDIS_SENTINELS_MAX, "too many Sentinels");
    fuzz_must(url.host[0] == '\0' ? url.port == 0 : url.port >= 1 && url.port <= 65535, "no port");
    fuzz_must(url.db >= 0 && url.db <= 65535, "no database");
    redis_url_describe(&url, described, sizeof described);
    url.user[0] = url.password[0] = '\0';
    redis_url_describe(&url, without_login, sizeof without_login);
    fuzz_must(strcmp(described, without_login) == 0, "the login is shown");
    return 0;
}
