/* The environment of both programs: NAME=value, one a line. Files that a setting names are not opened. */
#include "common/memory.h"
#include "common/settings.h"
#include "tests/fuzz/fuzz.h"

static const char *look_up(void *arg, const char *name)
{
    static const char *const FILES[] = {"REDIS_URL_FILE", "DEFIB_WEBHOOK_URL_FILE",
                                        "DEFIB_HEARTBEAT_URL_FILE"};
    for (size_t i = 0; i < sizeof FILES / sizeof FILES[0]; i++) {
        if (strcmp(name, FILES[i]) == 0) {
            return NULL;
        }
    }
    size_t len = strlen(name);
    char **lines = arg;
    for (; *lines != NULL; lines++) {
        if (strncmp(*lines, name, len) == 0 && (*lines)[len] == '=') {
            return *lines + len + 1;
        }
    }
    return NULL;
}

static void split(char *text, char *lines[64])
{
    size_t count = 0;
    char *rest = NULL;
    for (char *line = strtok_r(text, "\n", &rest); line != NULL && count < 63;
         line = strtok_r(NULL, "\n", &rest)) {
        lines[count++] = line;
    }
    lines[count] = NULL;
}

static char *print(enum settings_program program, const struct settings *settings, size_t *len)
{
    char *text = NULL;
    FILE *out = open_memstream(&text, len);
    fuzz_must(out != NULL, "no memory");
    settings_print(program, settings, out);
    fclose(out);
    return text;
}

static void check_line(const struct err *err)
{
    fuzz_must(err->text[0] != '\0', "refused without a word");
    for (const char *at = err->text; *at != '\0'; at++) {
        fuzz_must((unsigned char)*at >= 0x20 && *at != 0x7f, "a control character in the complaint");
    }
}

/* What --check-config prints means the same when it is read again (where no secret is masked in it). */
static void read_again(enum settings_program program, const struct settings *settings)
{
    size_t first_len, second_len;
    cleanup_free char *first = print(program, settings, &first_len);
    if (strstr(first, "***") != NULL) {
        return;
    }
    cleanup_free char *copy = fuzz_text((const uint8_t *)first, first_len);
    char *lines[64];
    split(copy, lines);
    struct settings again;
    struct err err;
    fuzz_must(settings_load(program, look_up, lines, &again, &err) == 0, "what was printed does not load");
    cleanup_free char *second = print(program, &again, &second_len);
    fuzz_must_equal(first, first_len, second, second_len, "loaded again it prints something else");
    settings_free(&again);
}

static void load(enum settings_program program, char **lines)
{
    struct settings settings;
    struct err err;
    if (settings_load(program, look_up, lines, &settings, &err) != 0) {
        check_line(&err);
        return;
    }
    read_again(program, &settings);
    settings_free(&settings);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    cleanup_free char *text = fuzz_text(bytes, len);
    char *lines[64];
    split(text, lines);
    load(SETTINGS_AGENT, lines);
    load(SETTINGS_CONTROLLER, lines);
    return 0;
}
