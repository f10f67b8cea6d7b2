#include "common/redis_tls.h"

#include <stdlib.h>

#include <hiredis/hiredis.h>
#ifdef DEFIB_HAVE_HIREDIS_SSL
#include <hiredis/hiredis_ssl.h>
#include <openssl/ssl.h>
#endif

#include "common/memory.h"

#ifdef DEFIB_HAVE_HIREDIS_SSL

struct redis_tls {
    SSL_CTX *authorities;
    SSL *session; /* borrowed from the context */
};

bool redis_tls_is_there(void)
{
    return true;
}

struct redis_tls *redis_tls_new(void)
{
    return memory_alloc(sizeof(struct redis_tls));
}

void redis_tls_free(struct redis_tls *tls)
{
    if (tls != NULL) {
        SSL_CTX_free(tls->authorities);
        free(tls);
    }
}

/* hiredis says what errno says, which for a refused certificate is "Success". */
const char *redis_tls_reason(const struct redis_tls *tls, const redisContext *context)
{
    long verified = SSL_get_verify_result(tls->session);
    return verified != X509_V_OK ? X509_verify_cert_error_string(verified) : context->errstr;
}

static bool load_authorities(struct redis_tls *tls)
{
    if (tls->authorities != NULL) {
        return true;
    }
    SSL_CTX *made = SSL_CTX_new(TLS_client_method());
    if (made == NULL || SSL_CTX_set_default_verify_paths(made) != 1) {
        SSL_CTX_free(made);
        return false;
    }
    SSL_CTX_set_min_proto_version(made, TLS1_2_VERSION);
    SSL_CTX_set_verify(made, SSL_VERIFY_PEER, NULL);
    tls->authorities = made;
    return true;
}

/* hiredis' own SSL context sends the name but does not check it: the SSL object is made here. */
const char *redis_tls_start(struct redis_tls *tls, redisContext *context, const char *host)
{
    static const char FAILED[] = "TLS cannot be set up";
    SSL *ssl = load_authorities(tls) ? SSL_new(tls->authorities) : NULL;
    if (ssl == NULL || SSL_set_tlsext_host_name(ssl, host) != 1 || SSL_set1_host(ssl, host) != 1) {
        SSL_free(ssl);
        return FAILED;
    }
    tls->session = ssl;
    if (redisInitiateSSL(context, ssl) == REDIS_OK) {
        return NULL;
    }
    /* a quick peer: the handshake is over, and refused, within the call; the context does not own the session
     * then */
    const char *reason = redis_tls_reason(tls, context);
    tls->session = NULL;
    SSL_free(ssl);
    return reason;
}

#else

bool redis_tls_is_there(void)
{
    return false;
}

struct redis_tls *redis_tls_new(void)
{
    return NULL;
}

void redis_tls_free(struct redis_tls *tls)
{
    (void)tls;
}

const char *redis_tls_start(struct redis_tls *tls, redisContext *context, const char *host)
{
    (void)tls;
    (void)context;
    (void)host;
    return "built without TLS for Redis";
}

const char *redis_tls_reason(const struct redis_tls *tls, const redisContext *context)
{
    (void)tls;
    return context->errstr;
}

#endif
