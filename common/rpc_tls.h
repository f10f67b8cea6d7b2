/*
 * nng's TLS configurations from files, and nng's errors as errno. The inside of rpc_server.c, rpc_client.c
 * and rpc_probe.c.
 */
#ifndef DEFIB_COMMON_RPC_TLS_H
#define DEFIB_COMMON_RPC_TLS_H

#include "common/err.h"
#include "common/rpc.h"

struct nng_tls_config;

/* Mutual, but for RPC_TLS_UNCHECKED: a client that takes any certificate, to find out what was wrong. */
enum rpc_tls_role { RPC_TLS_SERVER, RPC_TLS_CLIENT, RPC_TLS_UNCHECKED };

/* Blocks for the files. The key's must not be readable by others. 0 and a configuration, given
 * (nng_tls_config_free); or -errno with the file and the cause. */
int rpc_tls_make(const char *url, const struct rpc_tls *tls, enum rpc_tls_role role,
                 struct nng_tls_config **out, struct err *err);

/* Whom the server's certificate must name: what tls says, else the URL's host, brackets dropped. */
void rpc_tls_server_name(const char *url, const struct rpc_tls *tls, char *out, size_t size);

/* A positive errno for a code of nng's. */
int rpc_tls_errno(int code);

/* "URL: what: nng's words"; returns -errno. */
int rpc_tls_fail(struct err *err, int code, const char *url, const char *what);

#endif
