#include "controller/serve/page.h"

#include <stdio.h>
#include <stdlib.h>

#include <openssl/evp.h>

#define FILE_OF_PAGE(name) ".incbin \"controller/serve/page/" name "\"\n"

/* The assembler puts it together; the paths are from the repository's root, where make runs. */
__asm__(".pushsection .rodata\n"
        ".balign 16\n"
        ".local page_start, page_style, page_style_end, page_script, page_script_end, page_end\n"
        "page_start:\n" FILE_OF_PAGE(
            "head.html") ".ascii \"<style>\"\n"
                         "page_style:\n" FILE_OF_PAGE(
                             "style.css") "page_style_end:\n"
                                          ".ascii \"</style>\\n\"\n" FILE_OF_PAGE(
                                              "body.html") ".ascii \"<script>\"\n"
                                                           "page_script:\n" FILE_OF_PAGE("words.js")
                                                               FILE_OF_PAGE("fleet.js") FILE_OF_PAGE("map.js")
                                                                   FILE_OF_PAGE("timeline.js") FILE_OF_PAGE(
                                                                       "explain.js") FILE_OF_PAGE("change.js")
                                                                       FILE_OF_PAGE(
                                                                           "main.js") "page_script_end:\n"
                                                                                      ".ascii "
                                                                                      "\"</script>\\n</"
                                                                                      "body>\\n</html>\\n\"\n"
                                                                                      "page_end:\n"
                                                                                      ".byte 0\n"
                                                                                      ".popsection\n");

#define IN_THIS_FILE __attribute__((visibility("hidden")))
extern const char page_start[] IN_THIS_FILE, page_style[] IN_THIS_FILE, page_style_end[] IN_THIS_FILE,
    page_script[] IN_THIS_FILE, page_script_end[] IN_THIS_FILE, page_end[] IN_THIS_FILE;

const char *page_document(size_t *len)
{
    *len = (size_t)(page_end - page_start); /* cppcheck-suppress comparePointers */
    return page_start;
}

enum { DIGEST_BYTES = 32, DIGEST_TEXT_SIZE = 48 };

static void digest(const char *start, const char *end, char out[DIGEST_TEXT_SIZE])
{
    unsigned char bytes[DIGEST_BYTES];
    if (EVP_Digest(start, (size_t)(end - start), bytes, NULL, EVP_sha256(), NULL) != 1) {
        abort();
    }
    EVP_EncodeBlock((unsigned char *)out, bytes, DIGEST_BYTES);
}

char *page_headers(void)
{
    char style[DIGEST_TEXT_SIZE], script[DIGEST_TEXT_SIZE], *text;
    digest(page_style, page_style_end, style);
    digest(page_script, page_script_end, script);
    int len = asprintf(&text,
                       "Content-Security-Policy: default-src 'none'; script-src 'sha256-%s'; "
                       "style-src 'sha256-%s'; connect-src 'self'; img-src data:; base-uri 'none'; "
                       "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; "
                       "trusted-types 'none'\n"
                       "Referrer-Policy: no-referrer\n"
                       "Cross-Origin-Opener-Policy: same-origin\n"
                       "Cross-Origin-Resource-Policy: same-origin",
                       script, style);
    if (len < 0) {
        abort();
    }
    return text;
}
