/* Samples of a benchmark and the rows made of them: one JSON object or one line of a table per
 * case. A row's value is the median; its ratio is against the median of a baseline taken in the
 * same run. */
#ifndef BENCH_REPORT_H
#define BENCH_REPORT_H

#include "base/cleanup.h"

#include <stdbool.h>
#include <stddef.h>

struct samples {
	double *values;
	size_t count, cap;
};
void samples_add(struct samples *s, double value); /* ends the program when memory runs out */
void samples_fini(struct samples *s);
/* the value that a share p (0 to 1) of the samples does not exceed; 0 without samples */
double samples_quantile(struct samples *s, double p);
double samples_median(struct samples *s);

/* json: one object per row; otherwise a table with a header */
void report_begin(const char *bench, bool json);

struct report_row {
	const char *name, *unit;
	const char *baseline; /* what it is; NULL: there is none */
	double value, baseline_value;
	double p50, p99;
	double p999; /* 0: not said */
	double per_second; /* what they amount to, where several are on their way; 0: not said */
	size_t n;
};
void report_row(const struct report_row *row);
/* the usual case: medians of both; baseline may be NULL */
void report_samples(const char *name, const char *unit, struct samples *ours, const char *baseline,
	struct samples *theirs);
/* what is worth knowing but is no figure: to stderr */
void report_note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
