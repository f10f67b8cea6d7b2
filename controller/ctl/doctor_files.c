#include "common/certificate.h"
#include "common/key_file.h"
#include "common/timestamp.h"
#include "controller/ctl/doctor.h"
#include "controller/ctl/phrase.h"

static const int64_t DAY_MS = 86400000;

enum { DAYS_LEFT = 30 };

static void check_keys(struct doctor *doctor)
{
    const char *path = doctor->ctl->settings->key_file;
    struct key_ring keys = {0};
    struct err err;
    if (path[0] == '\0') {
        return;
    }
    if (key_file_load(path, &keys, &err) != 0) {
        doctor_say(doctor, DOCTOR_BAD, "keys",
                   "make it readable for its user alone, with id:hex on each line", "%s.", err.text);
    } else {
        doctor_say(doctor, DOCTOR_FINE, "keys", "", "%zu key%s in %s; the first signs.", keys.count,
                   keys.count == 1 ? "" : "s", path);
    }
    key_ring_wipe(&keys);
}

static void check_certificate(struct doctor *doctor, const char *setting, const char *path)
{
    struct wall end, now = clock_wall_now();
    struct err err;
    char when[TIMESTAMP_SIZE], left[PHRASE_SIZE];
    if (path[0] == '\0') {
        return;
    }
    if (certificate_read_end(path, &end, &err) != 0) {
        doctor_say(doctor, DOCTOR_BAD, "certificate", "give it a PEM file that can be read", "%s=%s.",
                   setting, err.text);
        return;
    }
    timestamp_format(end, when);
    phrase_in(end, now, left);
    if (end.ms <= now.ms) {
        doctor_say(doctor, DOCTOR_BAD, "certificate", "renew it; SIGHUP reads it again",
                   "%s=%s ended at %s: no agent is reached with it.", setting, path, when);
    } else if (end.ms - now.ms < DAYS_LEFT * DAY_MS) {
        doctor_say(doctor, DOCTOR_WARNING, "certificate", "renew it; SIGHUP reads it again",
                   "%s=%s ends in %s, at %s.", setting, path, left, when);
    } else {
        doctor_say(doctor, DOCTOR_FINE, "certificate", "", "%s=%s is good until %s.", setting, path, when);
    }
}

void doctor_files_check(struct doctor *doctor)
{
    const struct settings *settings = doctor->ctl->settings;
    check_keys(doctor);
    check_certificate(doctor, "DEFIB_TLS_CA_FILE", settings->tls_ca_file);
    check_certificate(doctor, "DEFIB_TLS_CERT_FILE", settings->tls_cert_file);
}
