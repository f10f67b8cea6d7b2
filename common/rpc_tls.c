#include "common/rpc_tls.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <nng/nng.h>
#include <nng/supplemental/tls/tls.h>

#include "common/memory.h"

enum { PEM_MAX_BYTES = 256 * 1024, NAME_SIZE = 256 };

int rpc_tls_errno(int code)
{
    if (code & NNG_ESYSERR) {
        return code & ~NNG_ESYSERR;
    }
    switch (code) {
    case 0:
        return 0;
    case NNG_ENOMEM:
        return ENOMEM;
    case NNG_EINVAL:
    case NNG_EADDRINVAL:
    case NNG_ENOTSUP:
        return EINVAL;
    case NNG_ETIMEDOUT:
        return ETIMEDOUT;
    case NNG_ECONNREFUSED:
        return ECONNREFUSED;
    case NNG_ECONNRESET:
    case NNG_ECONNABORTED:
    case NNG_ECONNSHUT:
        return ECONNRESET;
    case NNG_ECANCELED:
    case NNG_ECLOSED:
        return ECANCELED;
    case NNG_EADDRINUSE:
        return EADDRINUSE;
    case NNG_EPERM:
        return EACCES;
    case NNG_ENOENT:
        return ENOENT;
    case NNG_EMSGSIZE:
        return EMSGSIZE;
    case NNG_ENOFILES:
        return EMFILE;
    default:
        return EIO;
    }
}

int rpc_tls_fail(struct err *err, int code, const char *url, const char *what)
{
    return err_set(err, rpc_tls_errno(code), "%s: %s: %s", url, what, nng_strerror(code));
}

static int check_mode(FILE *file, const char *path, struct err *err)
{
    struct stat stat;
    if (fstat(fileno(file), &stat) != 0) {
        return err_set(err, errno, "%s: %s", path, strerror(errno));
    }
    if ((stat.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
        return err_set(err, EACCES, "%s: open to others (mode %04o), allowed is 0600 or 0400: chmod 600",
                       path, (unsigned)(stat.st_mode & 07777));
    }
    return 0;
}

enum pem_kind { PEM_PUBLIC, PEM_SECRET };

static int read_pem(const char *path, enum pem_kind kind, char **out, struct err *err)
{
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return err_set(err, errno, "%s: %s", path, strerror(errno));
    }
    if (kind == PEM_SECRET && check_mode(file, path, err) != 0) {
        fclose(file);
        return -err->code;
    }
    char *text = memory_alloc(PEM_MAX_BYTES);
    size_t len = fread(text, 1, PEM_MAX_BYTES - 1, file);
    bool is_whole = feof(file) && !ferror(file);
    fclose(file);
    if (!is_whole || len == 0) {
        free(text);
        return err_set(err, EINVAL, "%s: %s", path, len == 0 ? "is empty" : "cannot be read, or is too long");
    }
    *out = text;
    return 0;
}

static int load_files(nng_tls_config *config, const struct rpc_tls *tls, struct err *err)
{
    cleanup_free char *ca = NULL;
    cleanup_free char *cert = NULL;
    cleanup_free char *key = NULL;
    if (read_pem(tls->ca_file, PEM_PUBLIC, &ca, err) != 0 ||
        read_pem(tls->cert_file, PEM_PUBLIC, &cert, err) != 0 ||
        read_pem(tls->key_file, PEM_SECRET, &key, err) != 0) {
        return -err->code;
    }
    int code = nng_tls_config_ca_chain(config, ca, NULL);
    if (code != 0) {
        return rpc_tls_fail(err, code, tls->ca_file, "CA not accepted");
    }
    code = nng_tls_config_own_cert(config, cert, key, NULL);
    explicit_bzero(key, strlen(key)); /* NOLINT(clang-analyzer-core.NonNullParamChecker): read above */
    if (code != 0) {
        return rpc_tls_fail(err, code, tls->cert_file,
                            "certificate and key not accepted (Ed25519 is not supported)");
    }
    return 0;
}

void rpc_tls_server_name(const char *url, const struct rpc_tls *tls, char *out, size_t size)
{
    if (tls->server_name != NULL) {
        memory_set_text(out, size, tls->server_name);
        return;
    }
    const char *start = strstr(url, "://") + 3;
    size_t len = *start == '[' ? strcspn(++start, "]") : strcspn(start, ":/");
    snprintf(out, size, "%.*s", (int)len, start);
}

static void must(int code, const char *what)
{
    if (code != 0) {
        fprintf(stderr, "nng: %s: %s\n", what, nng_strerror(code));
        abort();
    }
}

int rpc_tls_make(const char *url, const struct rpc_tls *tls, enum rpc_tls_role role,
                 struct nng_tls_config **out, struct err *err)
{
    struct err local;
    err = err != NULL ? err : &local;
    nng_tls_config *config;
    bool is_checked = role != RPC_TLS_UNCHECKED;
    must(nng_tls_config_alloc(&config, role == RPC_TLS_SERVER ? NNG_TLS_MODE_SERVER : NNG_TLS_MODE_CLIENT),
         "TLS config");
    must(nng_tls_config_auth_mode(config, is_checked ? NNG_TLS_AUTH_MODE_REQUIRED : NNG_TLS_AUTH_MODE_NONE),
         "TLS auth mode");
    if (role != RPC_TLS_SERVER) {
        /* Without a name nng 1.5 checks none at all. */
        char name[NAME_SIZE];
        rpc_tls_server_name(url, tls, name, sizeof name);
        must(nng_tls_config_server_name(config, name), "TLS name");
    }
    int status = load_files(config, tls, err);
    if (status != 0) {
        nng_tls_config_free(config);
        return status;
    }
    *out = config;
    return 0;
}
