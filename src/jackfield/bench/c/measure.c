/* The measured window, CPU clocks, and a histogram of latencies. */
#define _GNU_SOURCE
#include "load.h"

#include <stdio.h>
#include <time.h>
#include <unistd.h>

/* Latencies are counted in buckets whose width grows with the value: 64 to each power of two,
 * so that a percentile is exact to 1.6 % from nanoseconds to minutes. */
enum { SUB_BITS = 6, SUB = 1 << SUB_BITS, BUCKETS = SUB * 40 };
static uint64_t buckets[BUCKETS];

static double clock_seconds(clockid_t clock)
{
    struct timespec t;
    if (clock_gettime(clock, &t) != 0)
        die("the server ended during the measurement");
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* User and system time of all threads, to the nanosecond; /proc counts in hundredths. */
static double process_cpu(pid_t pid)
{
    clockid_t clock;
    if (pid == 0)
        return 0;
    if (clock_getcpuclockid(pid, &clock) != 0)
        die("the server ended during the measurement");
    return clock_seconds(clock);
}

/* Seconds that the main thread was ready to run and did not, since it began: somebody else had
 * its core. 0 where the kernel does not tell (CONFIG_SCHED_INFO). */
static double process_wait(pid_t pid)
{
    char path[64];
    unsigned long long ran = 0, waited = 0;
    if (pid == 0)
        return 0;
    snprintf(path, sizeof path, "/proc/%d/schedstat", (int)pid);
    FILE *file = fopen(path, "r");
    if (file == NULL)
        return 0;
    if (fscanf(file, "%llu %llu", &ran, &waited) != 2)
        waited = 0;
    fclose(file);
    return (double)waited / 1e9;
}

static void read_clocks(struct window *w, const struct window *since)
{
    w->server_cpu = process_cpu(w->server) - since->server_cpu;
    w->load_cpu = clock_seconds(CLOCK_PROCESS_CPUTIME_ID) - since->load_cpu;
    w->server_wait = process_wait(w->server) - since->server_wait;
    w->load_wait = process_wait(getpid()) - since->load_wait;
}

void window_start(struct window *w, const struct load *load)
{
    *w = (struct window){.phase = WARMING, .server = load->server};
    w->begins = now_ns() + (uint64_t)(load->warmup * 1e9);
    w->length = (uint64_t)(load->seconds * 1e9);
}

enum phase window_update(struct window *w, uint64_t operations)
{
    uint64_t now = now_ns();
    if (w->phase == WARMING && now >= w->begins) {
        w->phase = MEASURING;
        w->began = now;
        w->operations = operations;
        read_clocks(w, &(struct window){0});
    } else if (w->phase == MEASURING && now - w->began >= w->length) {
        w->phase = DONE;
        w->ended = now;
        w->operations = operations - w->operations;
        struct window start = *w;
        read_clocks(w, &start);
    }
    return w->phase;
}

void print_window(const struct window *w)
{
    printf("\"operations\": %llu, \"seconds\": %.6f, ", (unsigned long long)w->operations,
           (double)(w->ended - w->began) / 1e9);
    printf("\"server_cpu\": %.6f, \"server_wait\": %.6f, ", w->server_cpu, w->server_wait);
    printf("\"load_cpu\": %.6f, \"load_wait\": %.6f", w->load_cpu, w->load_wait);
}

void record_latency(uint64_t ns)
{
    unsigned shift = 0;
    while (ns >> shift >= 2 * SUB)
        shift++;
    uint64_t bucket = ((uint64_t)shift << SUB_BITS) + (ns >> shift);
    buckets[bucket < BUCKETS ? bucket : BUCKETS - 1]++;
}

static double bucket_middle(unsigned bucket)
{
    if (bucket < 2 * SUB)
        return bucket;
    unsigned shift = (bucket >> SUB_BITS) - 1;
    return ((double)(SUB + (bucket & (SUB - 1))) + 0.5) * (double)(1ull << shift);
}

static double percentile(double share)
{
    uint64_t total = 0, seen = 0;
    for (unsigned i = 0; i < BUCKETS; i++)
        total += buckets[i];
    for (unsigned i = 0; i < BUCKETS; i++) {
        seen += buckets[i];
        if (seen > 0 && (double)seen >= share * (double)total)
            return bucket_middle(i);
    }
    return 0;
}

void print_latencies(void)
{
    printf("\"p50_us\": %.2f, \"p99_us\": %.2f, \"p999_us\": %.2f", percentile(0.5) / 1e3,
           percentile(0.99) / 1e3, percentile(0.999) / 1e3);
}
