#include "controller/serve/documents.h"

/* The assembler takes the file in as it is; its path is from the repository's root, where make runs. */
#define TAKE_IN(symbol, path)                                                      \
    __asm__(".pushsection .rodata\n.balign 16\n.local " #symbol "\n" #symbol ":\n" \
            ".incbin \"" path "\"\n.local " #symbol "_end\n" #symbol "_end:\n"     \
            ".byte 0\n.popsection\n");                                             \
    extern const char symbol[] __attribute__((visibility("hidden")));              \
    extern const char symbol##_end[] __attribute__((visibility("hidden")))

TAKE_IN(openapi_json, "controller/serve/openapi.json");

const char *documents_openapi(size_t *len)
{
    *len = (size_t)(openapi_json_end - openapi_json); /* cppcheck-suppress comparePointers */
    return openapi_json;
}
