/*
 * sim: runs of the simulated world. `sim --help` lists what it can do.
 */
#include <getopt.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/memory.h"
#include "tests/sim/sim.h"

struct options {
    uint64_t seed, seeds;
    int64_t hours, total_hours;
    int hosts, boxes, controllers;
    bool is_verbose, is_twice, is_table, is_quiet, is_calm, is_compared;
    double seconds;
    const char *without; /* a kind of fault that is left out */
    const char *counts;  /* a file for how often each invariant was exercised; NULL: none */
    const char *keep;    /* where shortest histories are put as scenarios; NULL: nowhere */
    int want;            /* a mutation must be caught by this invariant; 0: none */
};

/* Of all runs. */
struct totals {
    double box_hours, cpu_secs;
    uint64_t runs, faults, decisions, commands, failures;
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
    sim_run(&copy, false, 0, &result);
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

static void tell_failure(struct plan *plan, const struct sim *result, const char *keep)
{
    struct sim last;
    printf("FAILED %s: %s\n", plan->title, result->failure);
    if (!plan->is_scenario) {
        shrink(plan, result->failed);
        printf("the shortest history that shows it (again with --seed %llu --hours %lld):\n",
               (unsigned long long)plan->seed, (long long)(plan->duration_ms / 3600000));
        plan_print(plan);
        plan_keep(plan, keep);
    }
    sim_run(plan, false, 0, &last);
    printf("  %s\n", last.failure);
}

/* ---- runs ---- */

static bool run_one(struct plan *plan, const struct options *options, struct totals *totals)
{
    struct sim result, again;
    sim_run(plan, options->is_verbose, options->want, &result);
    totals->box_hours += result.box_hours;
    totals->runs++;
    totals->faults += plan->fault_count;
    totals->decisions += result.decisions;
    totals->commands += result.sends;
    if (result.failed == 0 && options->is_twice) {
        sim_run(plan, false, options->want, &again);
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
        tell_failure(plan, &result, options->keep);
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

static bool is_enough(const struct options *options, const struct totals *totals, double start)
{
    return (options->total_hours > 0 && totals->box_hours >= (double)options->total_hours) ||
           (options->seconds > 0 && cpu_seconds() - start > options->seconds) || totals->failures >= 5 ||
           (totals->failures > 0 && options->want != 0);
}

static void print_totals(const struct options *options, const struct totals *totals)
{
    double secs = totals->cpu_secs > 0 ? totals->cpu_secs : 1;
    printf("%s, seeds %llu to %llu: %llu failed; %.0f container-hours in %.1f s of CPU: %.0f a second; "
           "%llu faults, %llu decisions, %llu commands\n",
           options->is_calm            ? "calm fleets"
           : options->controllers == 2 ? "storms with two controllers"
                                       : "storms",
           (unsigned long long)options->seed, (unsigned long long)(options->seed + totals->runs - 1),
           (unsigned long long)totals->failures, totals->box_hours, totals->cpu_secs,
           totals->box_hours / secs, (unsigned long long)totals->faults,
           (unsigned long long)totals->decisions, (unsigned long long)totals->commands);
}

static int run_seeds(const struct options *options)
{
    struct totals totals = {0};
    double start = cpu_seconds();
    uint64_t done = 0;
    for (uint64_t seed = options->seed; done < options->seeds && !is_enough(options, &totals, start);
         seed++) {
        struct plan plan;
        if (options->is_calm) {
            plan_calm(&plan, seed, options->hours, options->hosts, options->boxes);
        } else {
            plan_storm(&plan, seed, options->hours);
            if (options->controllers == 2) {
                plan_add_controller(&plan, options->hours);
            }
        }
        leave_out(&plan, options->without);
        totals.failures += !run_one(&plan, options, &totals);
        plan_fini(&plan);
        done++;
    }
    totals.cpu_secs = cpu_seconds() - start;
    if (!options->is_quiet) {
        print_totals(options, &totals);
    }
    return totals.failures == 0 ? 0 : 1;
}

static int run_scenarios(char **paths, int count, const struct options *options)
{
    int failed = 0;
    struct totals totals = {0};
    for (int i = 0; i < count; i++) {
        struct plan plan;
        if (plan_from_file(&plan, paths[i]) != 0) {
            return 2;
        }
        bool is_good = run_one(&plan, options, &totals);
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

/* For tests/sim/report. */
static void write_counts(const char *path)
{
    FILE *file = fopen(path, "we");
    if (!file) {
        fprintf(stderr, "%s cannot be written\n", path);
        exit(1);
    }
    for (int i = 1; i <= INVARIANTS; i++) {
        fprintf(file, "%d\t%s\t%s\t%llu\n", i, invariants[i].text, invariants[i].how,
                (unsigned long long)invariants[i].exercised);
    }
    fclose(file);
}

static void print_help(void)
{
    puts("sim [options] [SCENARIO…]\n"
         "  --seed N --seeds N   from this seed on, so many (1, 1)\n"
         "  --hours N            length of a run (6)\n"
         "  --calm               large fleets and little trouble, instead of small ones and much\n"
         "  --hosts N --boxes N  a calm fleet of that size\n"
         "  --controllers 2      storms with two of them, which take turns\n"
         "  --total N            until that many container-hours are done\n"
         "  --seconds N          until that much CPU was used\n"
         "  --twice              each run twice: the same must come out\n"
         "  --without KINDS      leave faults of these kinds out: redis_readonly,clock_jump\n"
         "  --peers              defib and other policies on the same faults\n"
         "  --counts FILE        write there how often each was\n"
         "  --keep DIR           put the shortest history of what fails there, as a scenario\n"
         "  --verbose            tell all that happens\n"
         "  --table              the invariants and how often each was exercised\n"
         "  --want N             exit 0 where invariant N, or any for 99, is found violated (mutations)");
}

int main(int argc, char **argv)
{
    static const struct option names[] = {
        {"seed", required_argument, NULL, 's'},     {"seeds", required_argument, NULL, 'n'},
        {"hours", required_argument, NULL, 'h'},    {"hosts", required_argument, NULL, 'o'},
        {"boxes", required_argument, NULL, 'b'},    {"controllers", required_argument, NULL, 'l'},
        {"total", required_argument, NULL, 't'},    {"seconds", required_argument, NULL, 'c'},
        {"twice", no_argument, NULL, '2'},          {"calm", no_argument, NULL, 'C'},
        {"peers", no_argument, NULL, 'p'},          {"verbose", no_argument, NULL, 'v'},
        {"table", no_argument, NULL, 'T'},          {"want", required_argument, NULL, 'w'},
        {"help", no_argument, NULL, '?'},           {"without", required_argument, NULL, 'x'},
        {"counts", required_argument, NULL, 'O'},   {"keep", required_argument, NULL, 'k'},
        {"scenario", required_argument, NULL, 'f'}, {NULL, 0, NULL, 0}};
    struct options options = {.seed = 1, .seeds = 1, .hours = 6};
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
            options.is_calm = true;
            break;
        case 'b':
            options.boxes = (int)number;
            options.is_calm = true;
            break;
        case 'l':
            options.controllers = (int)number;
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
        case 'O':
            options.counts = optarg;
            break;
        case 'k':
            options.keep = optarg;
            break;
        case 'p':
            options.is_compared = true;
            break;
        case 'C':
            options.is_calm = true;
            break;
        case 'T':
            options.is_table = true;
            break;
        case 'w':
            options.want = (int)number;
            options.is_quiet = true;
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
    mallopt(M_TRIM_THRESHOLD, 1 << 30); /* runs come and go: what one gave back the next one takes */
    mallopt(M_MMAP_THRESHOLD, 1 << 30);
    int result = 0;
    if (options.is_compared) {
        compare_peers(options.seed, options.seeds, options.hours, options.is_verbose);
        return 0;
    }
    if (scenario) {
        result = run_scenarios(&scenario, 1, &options);
    } else if (optind < argc) {
        result = run_scenarios(argv + optind, argc - optind, &options);
    } else {
        result = run_seeds(&options);
    }
    if (options.counts) {
        write_counts(options.counts);
    }
    if (options.is_table) {
        print_table();
    }
    return options.want != 0 ? !result : result;
}
