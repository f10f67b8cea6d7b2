#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/cgroup_reader.h"

#define ID "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

/* ---- a /proc and /sys/fs/cgroup of our own ---- */

struct host {
    char dir[64];
};

static void put(const struct host *host, const char *path, const char *text)
{
    char whole[PATH_MAX];
    snprintf(whole, sizeof whole, "%s/%s", host->dir, path);
    for (char *slash = whole + strlen(host->dir) + 1; (slash = strchr(slash, '/')) != NULL; slash++) {
        *slash = '\0';
        mkdir(whole, 0700);
        *slash = '/';
    }
    FILE *file = fopen(whole, "w");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(0, fclose(file));
}

static void open_host(struct host *host)
{
    strcpy(host->dir, "/tmp/test_cgroup_reader.XXXXXX");
    assert_non_null(mkdtemp(host->dir));
}

static void close_host(const struct host *host)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", host->dir);
    assert_int_equal(0, system(command));
}

static struct cgroup_reader *open_reader(const struct host *host)
{
    char proc[128];
    snprintf(proc, sizeof proc, "%s/proc", host->dir);
    return cgroup_reader_new(proc);
}

static void mounts_v1(const struct host *host)
{
    char text[1024];
    snprintf(text, sizeof text,
             "24 1 0:20 / /proc rw - proc proc rw\n"
             "30 24 0:26 / %s/cpu rw shared:9 - cgroup cgroup rw,cpu,cpuacct\n"
             "31 24 0:27 / %s/memory rw - cgroup cgroup rw,memory\n"
             "32 24 0:28 / %s/unified rw - cgroup2 cgroup2 rw\n",
             host->dir, host->dir, host->dir);
    put(host, "proc/self/mountinfo", text);
}

static void mounts_v2(const struct host *host)
{
    char text[512];
    snprintf(text, sizeof text, "30 24 0:26 / %s/cg rw - cgroup2 cgroup2 rw,nsdelegate\n", host->dir);
    put(host, "proc/self/mountinfo", text);
}

static void expect(struct cgroup_files *files, int64_t cpu_ns, int64_t memory_bytes)
{
    struct cgroup_usage usage = cgroup_files_read(files);
    assert_int_equal(cpu_ns, usage.cpu_ns);
    assert_int_equal(memory_bytes, usage.memory_bytes);
}

/* ---- tests ---- */

static void reads_v1_by_the_process(void **state)
{
    (void)state;
    struct host host;
    open_host(&host);
    mounts_v1(&host);
    put(&host, "proc/42/cgroup", "5:memory:/own/" ID "\n4:cpu,cpuacct:/own/" ID "\n0::/own/" ID "\n");
    put(&host, "cpu/own/" ID "/cpuacct.usage", "123456789\n");
    put(&host, "memory/own/" ID "/memory.usage_in_bytes", "4096\n");
    struct cgroup_reader *reader = open_reader(&host);
    struct cgroup_files *files = cgroup_reader_open(reader, ID, 42);
    assert_non_null(files);
    expect(files, 123456789, 4096);
    put(&host, "cpu/own/" ID "/cpuacct.usage", "223456789\n");
    expect(files, 223456789, 4096);
    cgroup_files_close(files);
    cgroup_reader_free(reader);
    close_host(&host);
}

static void reads_v2_by_the_process(void **state)
{
    (void)state;
    struct host host;
    open_host(&host);
    mounts_v2(&host);
    put(&host, "proc/42/cgroup", "0::/system.slice/docker-" ID ".scope\n");
    put(&host, "cg/system.slice/docker-" ID ".scope/cpu.stat",
        "nr_periods 7\nusage_usec 1500\nuser_usec 1000\n");
    put(&host, "cg/system.slice/docker-" ID ".scope/memory.current", "8192\n");
    struct cgroup_reader *reader = open_reader(&host);
    struct cgroup_files *files = cgroup_reader_open(reader, ID, 42);
    assert_non_null(files);
    expect(files, 1500000, 8192);
    put(&host, "cg/system.slice/docker-" ID ".scope/cpu.stat", "nothing\n");
    put(&host, "cg/system.slice/docker-" ID ".scope/memory.current", "max\n");
    expect(files, -1, -1);
    cgroup_files_close(files);
    cgroup_reader_free(reader);
    close_host(&host);
}

/* In another PID namespace the number is some other process: its cgroup must not be taken for the
 * container's. */
static void another_process_is_not_the_container(void **state)
{
    (void)state;
    struct host host;
    open_host(&host);
    mounts_v2(&host);
    put(&host, "proc/42/cgroup", "0::/system.slice/sshd.service\n");
    put(&host, "cg/system.slice/sshd.service/memory.current", "1\n");
    struct cgroup_reader *reader = open_reader(&host);
    assert_null(cgroup_reader_open(reader, ID, 42));
    put(&host, "cg/docker/" ID "/memory.current", "77\n");
    struct cgroup_files *files = cgroup_reader_open(reader, ID, 42);
    assert_non_null(files);
    expect(files, -1, 77);
    cgroup_files_close(files);
    cgroup_reader_free(reader);
    close_host(&host);
}

static void nothing_there_is_nothing_known(void **state)
{
    (void)state;
    struct host host;
    open_host(&host);
    struct cgroup_reader *reader = open_reader(&host);
    assert_null(cgroup_reader_open(reader, ID, 42));
    expect(NULL, -1, -1);
    cgroup_files_close(NULL);
    cgroup_reader_free(reader);
    close_host(&host);
}

/* Its memory is looked at once more when it has run, and now and then. */
static void memory_of_who_does_not_run_is_read_seldom(void **state)
{
    (void)state;
    struct host host;
    open_host(&host);
    mounts_v2(&host);
    put(&host, "cg/docker/" ID "/cpu.stat", "usage_usec 5\n");
    put(&host, "cg/docker/" ID "/memory.current", "100\n");
    struct cgroup_reader *reader = open_reader(&host);
    struct cgroup_files *files = cgroup_reader_open(reader, ID, 0);
    assert_non_null(files);
    expect(files, 5000, 100);
    put(&host, "cg/docker/" ID "/memory.current", "90\n");
    for (int i = 0; i < 5; i++) {
        expect(files, 5000, 100);
    }
    expect(files, 5000, 90);
    put(&host, "cg/docker/" ID "/memory.current", "80\n");
    expect(files, 5000, 90);
    put(&host, "cg/docker/" ID "/cpu.stat", "usage_usec 6\n");
    expect(files, 6000, 80);
    put(&host, "cg/docker/" ID "/memory.current", "70\n");
    put(&host, "cg/docker/" ID "/cpu.stat", "nothing\n");
    expect(files, -1, 70); /* nobody can tell whether it ran */
    put(&host, "cg/docker/" ID "/memory.current", "60\n");
    expect(files, -1, 60);
    cgroup_files_close(files);
    cgroup_reader_free(reader);
    close_host(&host);
}

static int open_descriptors(void)
{
    int count = 0;
    for (int fd = 0; fd < 4096; fd++) {
        count += fcntl(fd, F_GETFD) >= 0;
    }
    return count;
}

static void descriptors_are_bounded(void **state)
{
    (void)state;
    enum { MANY = 400 };
    struct host host;
    open_host(&host);
    mounts_v2(&host);
    put(&host, "cg/docker/" ID "/memory.current", "77\n");
    put(&host, "cg/docker/" ID "/cpu.stat", "usage_usec 2\n");
    struct cgroup_reader *reader = open_reader(&host);
    struct cgroup_files *files[MANY];
    int before = open_descriptors();
    for (int i = 0; i < MANY; i++) {
        files[i] = cgroup_reader_open(reader, ID, 0);
        assert_non_null(files[i]);
    }
    assert_int_equal(before + 512, open_descriptors());
    for (int i = 0; i < MANY; i++) {
        expect(files[i], 2000, 77);
        cgroup_files_close(files[i]);
    }
    assert_int_equal(before, open_descriptors());
    cgroup_reader_free(reader);
    close_host(&host);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_v1_by_the_process),
        cmocka_unit_test(reads_v2_by_the_process),
        cmocka_unit_test(another_process_is_not_the_container),
        cmocka_unit_test(nothing_there_is_nothing_known),
        cmocka_unit_test(memory_of_who_does_not_run_is_read_seldom),
        cmocka_unit_test(descriptors_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
