/*
 * Runs a fuzz target over the files that are kept for it, without libFuzzer; named replay_NAME, from the top
 * folder. Says how many like cmocka does, for tests/run.
 */
#include <dirent.h>

#include "common/memory.h"
#include "tests/fuzz/fuzz.h"

enum { FILE_MAX_BYTES = 1 << 20 };

static size_t replay_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        return 0;
    }
    cleanup_free uint8_t *bytes = memory_alloc(FILE_MAX_BYTES);
    size_t len = fread(bytes, 1, FILE_MAX_BYTES, file);
    fclose(file);
    /* A block of exactly that size: sanitizers see any step past it. */
    cleanup_free uint8_t *exact = memory_grow(NULL, len + (len == 0), 1);
    memcpy(exact, bytes, len);
    fprintf(stderr, "%s\n", path); /* the last one named is the one that broke it */
    LLVMFuzzerTestOneInput(exact, len);
    return 1;
}

static size_t replay_folder(const char *path)
{
    DIR *folder = opendir(path);
    size_t count = 0;
    if (folder == NULL) {
        return 0;
    }
    for (const struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder)) {
        char name[512];
        if (entry->d_type == DT_REG && snprintf(name, sizeof name, "%s/%s", path, entry->d_name) > 0) {
            count += replay_file(name);
        }
    }
    closedir(folder);
    return count;
}

int main(int argc, char **argv)
{
    static const char *const FOLDERS[] = {"proto/vectors", "tests/fuzz/seeds", "tests/fuzz/regressions"};
    const char *name = strstr(argv[0], "replay_");
    if (argc != 1 || name == NULL) {
        fputs("usage: replay_NAME\n", stderr);
        return 2;
    }
    name += strlen("replay_");
    size_t count = 0;
    char path[512];
    for (size_t i = 0; i < sizeof FOLDERS / sizeof FOLDERS[0]; i++) {
        snprintf(path, sizeof path, "%s/%s", FOLDERS[i], name);
        count += replay_folder(path);
    }
    const char *end = strrchr(name, '_');
    if (end != NULL) {
        /* another reader of what there are vectors for: heartbeat_facts, heartbeat */
        snprintf(path, sizeof path, "%s/%.*s", FOLDERS[0], (int)(end - name), name);
        count += replay_folder(path);
    }
    printf("[  PASSED  ] %zu test(s).\n", count);
    return count > 0 ? 0 : 1;
}
