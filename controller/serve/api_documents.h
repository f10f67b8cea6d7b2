/*
 * The API's JSON documents (openapi.json says what stands in them), and who may be asked for. Times are
 * `2026-01-23T19:05:30Z`; what there is nothing to say of is null.
 */
#ifndef DEFIB_CONTROLLER_SERVE_API_DOCUMENTS_H
#define DEFIB_CONTROLLER_SERVE_API_DOCUMENTS_H

#include <stdbool.h>
#include <stddef.h>

#include "controller/serve/check_report.h"
#include "controller/serve/scene.h"

/* Fresh texts, given. */
char *api_documents_status(const struct scene *scene, size_t *len);
char *api_documents_hosts(const struct scene *scene, size_t *len);
char *api_documents_holds(const struct scene *scene, size_t *len);

/* NULL members ask for all. */
struct api_filter {
    const char *host, *service, *state, *name; /* name: a glob */
};
char *api_documents_containers(const struct scene *scene, const struct api_filter *filter, size_t *len);

/* NULL where the container is not known. */
char *api_documents_container(const struct scene *scene, const char *name, size_t *len);
char *api_documents_explanation(const struct scene *scene, const char *name,
                                const struct check_report *report,
                                size_t *len); /* report: what its checks say */

/* {"error": {"code": …, "message": …}} */
char *api_documents_error(const char *code, const char *message, size_t *len);

/* "container \"wbe-1\" is not known; the nearest name is \"web-1\"". kind: container, host, service. */
void api_documents_unknown(const struct scene *scene, const char *kind, const char *name, char *out,
                           size_t size);

/* Whether a host, service or container of this name is known. */
bool api_documents_is_known(const struct scene *scene, const char *kind, const char *name);

#endif
