/* What a capture costs the host: how long it stands still, and how much slower it is afterwards,
 * while its writes copy the pages that it shares with its shadow. */
#include "bench/fork.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "bench/report.h"

#include <stdlib.h>

#define ROUNDS 40
#define WINDOW "{\"ms\":100}"

static int calls_in_window(struct python_seed *seed, double *ret, struct ramet_err *err)
{
	auto_free char *json = NULL;
	int rc = proc_call(seed->host, "work_for", WINDOW, &json, err);
	if (rc == 0)
		*ret = strtod(json, NULL);
	return rc;
}

struct capture_samples {
	struct samples stall, fork, total, before, after, pages;
};

static void capture_samples_fini(struct capture_samples *s)
{
	samples_fini(&s->stall);
	samples_fini(&s->fork);
	samples_fini(&s->total);
	samples_fini(&s->before);
	samples_fini(&s->after);
	samples_fini(&s->pages);
}

static int one_round(struct python_seed *seed, struct capture_samples *s, struct ramet_err *err)
{
	auto_image struct image *image = NULL;
	struct capture_stats stats = {0};
	uint64_t stall = 0;
	double before = 0;
	double after = 0;
	double first = 0;
	double total = 0;
	int rc = calls_in_window(seed, &before, err);
	uint64_t begin = now_ns();
	if (rc == 0)
		rc = proc_capture(seed->host, &image, &stats, &stall, err);
	uint64_t end = now_ns();
	if (rc == 0)
		rc = calls_in_window(seed, &after, err);
	if (rc == 0)
		rc = python_seed_baseline(seed, "fork_first", &first, &total, err);
	if (rc < 0)
		return rc;
	samples_add(&s->stall, (double)stall / 1e3);
	samples_add(&s->fork, first / 1e3);
	samples_add(&s->total, (double)(end - begin) / 1e3);
	samples_add(&s->pages, (double)stats.pages);
	samples_add(&s->before, before);
	samples_add(&s->after, after);
	return 0;
}

int fork_capture(struct node *node, struct ramet_err *err)
{
	CLEANUP(python_seed_end) struct python_seed seed;
	CLEANUP(capture_samples_fini) struct capture_samples s = {0};
	int rc = python_seed_make(node, &seed, err);
	for (int i = 0; rc == 0 && i < ROUNDS; i++)
		rc = one_round(&seed, &s, err);
	if (rc < 0)
		return rc;
	report_samples("capture_stall", "us", &s.stall,
		"fork() of the host to the child's first instruction", &s.fork);
	report_samples("capture_total", "us", &s.total, NULL, NULL);
	report_samples("host_slowdown_100ms", "calls", &s.after,
		"real calls in 100 ms before the capture; ours after it", &s.before);
	report_note("captured pages: %.0f", samples_median(&s.pages));
	return 0;
}
