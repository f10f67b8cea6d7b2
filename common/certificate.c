#include "common/certificate.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <openssl/pem.h>
#include <openssl/x509.h>

static struct wall end_of(const X509 *certificate)
{
    struct tm parts = {.tm_sec = 0};
    if (ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &parts) != 1) {
        return (struct wall){1}; /* what cannot be read has ended */
    }
    return (struct wall){(int64_t)timegm(&parts) * 1000};
}

int certificate_read_end(const char *path, struct wall *out, struct err *err)
{
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return err_set(err, errno, "%.200s: %s", path, strerrordesc_np(errno));
    }
    struct wall first = {0};
    X509 *certificate;
    while ((certificate = PEM_read_X509(file, NULL, NULL, NULL)) != NULL) {
        struct wall end = end_of(certificate);
        first = first.ms == 0 || end.ms < first.ms ? end : first;
        X509_free(certificate);
    }
    fclose(file);
    if (first.ms == 0) {
        return err_set(err, EINVAL, "%.200s: there is no certificate in it", path);
    }
    *out = first;
    return 0;
}
