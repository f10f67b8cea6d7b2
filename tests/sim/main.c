/*
 * sim: runs of the simulated world. `sim --help` lists what it can do.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/memory.h"
#include "tests/sim/peers.h"
#include "tests/sim/sim.h"

struct options {
    uint64_t seed, seeds;
    int64_t hours, total_hours;
    int hosts, boxes;
    bool is_verbose, is_twice, is_table, is_quiet;
    double seconds;
    const char *without; /* a kind of fault that is left out */
    int want;            /* a mutation must be caught by this invariant; 0: none */
};

static double cpu_seconds(void)
{
    struct timespec spec;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &spec);
    return (double)spec.tv_sec + (double)spec.tv_nsec / 1e9;
}

/* ---- the shortest history ---- */

static bool still_fails(const struct plan *plan, struct fault *faults, size_t count, int failed)
{
    struct plan copy = *plan;
    struct sim result;
    copy.faults = faults;
    copy.fault_count = count;
    sim_run(&copy, false, &result);
    return result.failed == failed;
}

static void shrink(struct plan *plan, int failed)
{
    for (size_t part = plan->fault_count / 2 ? plan->fault_count / 2 : 1; part >= 1; part /= 2) {
        for (size_t start = 0; start < plan->fault_count;) {
            size_t len = start + part < plan->fault_count ? part : plan->fault_count - start;
            size_t rest = plan->fault_count - len;
            struct fault *fewer = memory_alloc((rest + 1) * sizeof *fewer);
            memcpy(fewer, plan->faults, start * sizeof *fewer);
            memcpy(fewer + start, plan->faults + start + len, (rest - start) * sizeof *fewer);
            if (still_fails(plan, fewer, rest, failed)) {
                free(plan->faults);
                plan->faults = fewer;
                plan->fault_count = rest;
            } else {
                free(fewer);
                start += len;
            }
        }
    }
}

static void tell_failure(struct plan *plan, const struct sim *result)
{
    struct sim last;
    printf("FAILED %s: %s\n", plan->title, result->failure);
    if (!plan->is_scenario) {
        shrink(plan, result->failed);
        printf("the shortest history that shows it (again with --seed %llu --hours %lld):\n",
               (unsigned long long)plan->seed, (long long)(plan->duration_ms / 3600000));
        plan_print(plan);
    }
    sim_run(plan, false, &last);
    printf("  %s\n", last.failure);
}

/* ---- runs ---- */

static bool run_one(struct plan *plan, const struct options *options, double *box_hours)
{
    struct sim result, again;
    sim_run(plan, options->is_verbose, &result);
    *box_hours += result.box_hours;
    if (result.failed == 0 && options->is_twice) {
        sim_run(plan, false, &again);
        if (again.trace != result.trace || again.failed != 0) {
            result.failed = 28;
            snprintf(result.failure, sizeof result.failure,
                     "invariant 28: the same history gave other actions");
        }
        invariants[28].exercised++;
    }
    if (result.failed == 0) {
        return true;
    }
    if (options->want != 0) {
        printf("caught by %d with %s: %s\n", result.failed, plan->title, result.failure);
    } else {
        tell_failure(plan, &result);
    }
    return false;
}

static void leave_out(struct plan *plan, const char *words)
{
    size_t kept = 0;
    for (size_t i = 0; words && i < plan->fault_count; i++) {
        if (!strstr(words, fault_name(plan->faults[i].kind))) {
            plan->faults[kept++] = plan->faults[i];
        }
    }
    plan->fault_count = words ? kept : plan->fault_count;
}

static int run_seeds(const struct options *options)
{
    double box_hours = 0, start = cpu_seconds();
    uint64_t failures = 0, done = 0;
    for (uint64_t seed = options->seed; done < options->seeds; seed++, done++) {
        struct plan plan;
        plan_from_seed(&plan, seed, options->hours, options->hosts, options->boxes);
        leave_out(&plan, options->without);
        bool is_good = run_one(&plan, options, &box_hours);
        plan_fini(&plan);
        failures += !is_good;
        bool is_enough = (options->total_hours > 0 && box_hours >= (double)options->total_hours) ||
                         (options->seconds > 0 && cpu_seconds() - start > options->seconds) ||
                         failures >= 5 || (failures > 0 && options->want != 0);
        if (is_enough) {
            done++;
            break;
        }
    }
    double secs = cpu_seconds() - start;
    if (!options->is_quiet) {
        printf("seeds %llu to %llu: %llu failed; %.0f container-hours in %.1f s of CPU: %.0f a second\n",
               (unsigned long long)options->seed, (unsigned long long)(options->seed + done - 1),
               (unsigned long long)failures, box_hours, secs, box_hours / (secs > 0 ? secs : 1));
    }
    return failures == 0 ? 0 : 1;
}

static int run_scenarios(char **paths, int count, const struct options *options)
{
    int failed = 0;
    double box_hours = 0;
    for (int i = 0; i < count; i++) {
        struct plan plan;
        if (plan_from_file(&plan, paths[i]) != 0) {
            return 2;
        }
        bool is_good = run_one(&plan, options, &box_hours);
        if (options->want == 0) {
            printf("%s %s\n", is_good ? "ok    " : "FAILED", plan.title);
        }
        failed += !is_good;
        plan_fini(&plan);
    }
    return failed == 0 ? 0 : 1;
}

static void print_table(void)
{
    printf("| no. | what must hold | how it is checked | exercised |\n|---|---|---|---|\n");
    for (int i = 1; i <= INVARIANTS; i++) {
        printf("| %d | %s | %s | %llu |\n", i, invariants[i].text, invariants[i].how,
               (unsigned long long)invariants[i].exercised);
    }
}

static void print_help(void)
{
    puts("sim [options] [SCENARIO…]\n"
         "  --seed N --seeds N   from this seed on, so many (1, 1)\n"
         "  --hours N            length of a run (6)\n"
         "  --hosts N --boxes N  a fleet of that size instead of a drawn one\n"
         "  --total N            until that many container-hours are done\n"
         "  --seconds N          until that much CPU was used\n"
         "  --twice              each run twice: the same must come out\n"
         "  --without KINDS      leave faults of these kinds out: redis_readonly,clock_jump\n"
         "  --verbose            tell all that happens\n"
         "  --table              the invariants and how often each was exercised\n"
         "  --want N             exit 0 where invariant N, or any for 99, is found violated (mutations)\n"
         "  --peers              three other policies on the same histories");
}

int main(int argc, char **argv)
{
    static const struct option names[] = {
        {"seed", required_argument, NULL, 's'},     {"seeds", required_argument, NULL, 'n'},
        {"hours", required_argument, NULL, 'h'},    {"hosts", required_argument, NULL, 'o'},
        {"boxes", required_argument, NULL, 'b'},    {"total", required_argument, NULL, 't'},
        {"seconds", required_argument, NULL, 'c'},  {"twice", no_argument, NULL, '2'},
        {"verbose", no_argument, NULL, 'v'},        {"table", no_argument, NULL, 'T'},
        {"want", required_argument, NULL, 'w'},     {"help", no_argument, NULL, '?'},
        {"peers", no_argument, NULL, 'p'},          {"without", required_argument, NULL, 'x'},
        {"scenario", required_argument, NULL, 'f'}, {NULL, 0, NULL, 0}};
    struct options options = {.seed = 1, .seeds = 1, .hours = 6};
    bool is_peers = false;
    char *scenario = NULL;
    int letter;
    while ((letter = getopt_long(argc, argv, "v", names, NULL)) != -1) {
        long long number = optarg ? atoll(optarg) : 0;
        switch (letter) {
        case 's':
            options.seed = (uint64_t)number;
            break;
        case 'n':
            options.seeds = (uint64_t)number;
            break;
        case 'h':
            options.hours = number;
            break;
        case 'o':
            options.hosts = (int)number;
            break;
        case 'b':
            options.boxes = (int)number;
            break;
        case 't':
            options.total_hours = number;
            options.seeds = UINT64_MAX;
            break;
        case 'c':
            options.seconds = (double)number;
            break;
        case '2':
            options.is_twice = true;
            break;
        case 'v':
            options.is_verbose = true;
            break;
        case 'T':
            options.is_table = true;
            break;
        case 'w':
            options.want = (int)number;
            options.is_quiet = true;
            break;
        case 'p':
            is_peers = true;
            break;
        case 'x':
            options.without = optarg;
            break;
        case 'f':
            scenario = optarg;
            break;
        default:
            print_help();
            return letter == '?' ? 0 : 2;
        }
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (is_peers) {
        return peers_run(options.seed, options.seeds, options.hours);
    }
    int result = 0;
    if (scenario) {
        result = run_scenarios(&scenario, 1, &options);
    } else if (optind < argc) {
        result = run_scenarios(argv + optind, argc - optind, &options);
    } else {
        result = run_seeds(&options);
    }
    if (options.is_table) {
        print_table();
    }
    return options.want != 0 ? !result : result;
}
