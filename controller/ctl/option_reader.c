#include "controller/ctl/option_reader.h"

#include <string.h>

#include "common/nearest.h"
#include "controller/ctl/ctl.h"

static const struct option_row *find(const struct option_row *rows, const char *word, size_t len)
{
    for (; rows->name != NULL; rows++) {
        if (strlen(rows->name) == len && strncmp(rows->name, word, len) == 0) {
            return rows;
        }
    }
    return NULL;
}

static bool complain_of(const struct option_row *rows, const char *word, const char *usage)
{
    struct nearest nearest;
    nearest_init(&nearest, word);
    for (; rows->name != NULL; rows++) {
        nearest_offer(&nearest, rows->name);
    }
    const char *name = nearest_name(&nearest);
    if (name != NULL) {
        ctl_complain("option \"%.80s\" is not known; did you mean %s? usage: defibctl %s", word, name, usage);
    } else {
        ctl_complain("option \"%.80s\" is not known; usage: defibctl %s", word, usage);
    }
    return false;
}

/* Takes one option at argv[*at]; *at is left at the last word used. */
static bool take(const struct option_row *rows, int argc, char **argv, int *at, const char *usage)
{
    const char *word = argv[*at];
    const char *equals = strchr(word, '=');
    const struct option_row *row = find(rows, word, equals == NULL ? strlen(word) : (size_t)(equals - word));
    if (row == NULL) {
        return complain_of(rows, word, usage);
    }
    if (row->value == NULL) {
        if (equals != NULL) {
            ctl_complain("option %s takes no value; usage: defibctl %s", row->name, usage);
            return false;
        }
        *row->flag = true;
        return true;
    }
    if (equals == NULL && *at + 1 >= argc) {
        ctl_complain("option %s needs a value; usage: defibctl %s", row->name, usage);
        return false;
    }
    *row->value = equals != NULL ? equals + 1 : argv[++*at];
    return true;
}

bool option_reader_read(struct option_reader *reader, const struct option_row *rows, int argc, char **argv,
                        size_t min, size_t max, const char *usage)
{
    bool has_ended = false;
    *reader = (struct option_reader){.count = 0};
    for (int i = 0; i < argc; i++) {
        if (!has_ended && strcmp(argv[i], "--") == 0) {
            has_ended = true;
        } else if (!has_ended && argv[i][0] == '-' && argv[i][1] != '\0') {
            if (!take(rows, argc, argv, &i, usage)) {
                return false;
            }
        } else if (reader->count == max || reader->count == OPTION_READER_NAMES) {
            ctl_complain("\"%.80s\" is one word too many; usage: defibctl %s", argv[i], usage);
            return false;
        } else {
            reader->names[reader->count++] = argv[i];
        }
    }
    if (reader->count < min) {
        ctl_complain("a name is missing; usage: defibctl %s", usage);
        return false;
    }
    return true;
}
