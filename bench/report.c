/* Sorting samples and printing rows. */
#include "bench/report.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static struct {
	const char *bench;
	bool json, headed;
} report;

void samples_add(struct samples *s, double value)
{
	if (s->count == s->cap) {
		s->cap = s->cap ? 2 * s->cap : 256;
		double *values = realloc(s->values, s->cap * sizeof(*values));
		if (!values)
			abort();
		s->values = values;
	}
	s->values[s->count++] = value;
}

void samples_fini(struct samples *s)
{
	free(s->values);
	*s = (struct samples){0};
}

static int compare(const void *a, const void *b)
{
	const double *x = a;
	const double *y = b;
	return (*x > *y) - (*x < *y);
}

double samples_quantile(struct samples *s, double p)
{
	if (s->count == 0)
		return 0;
	qsort(s->values, s->count, sizeof(*s->values), compare);
	size_t index = (size_t)(p * (double)(s->count - 1) + 0.5);
	return s->values[index];
}

double samples_median(struct samples *s)
{
	return samples_quantile(s, 0.5);
}

void report_begin(const char *bench, bool json)
{
	report.bench = bench;
	report.json = json;
}

static void print_json(const struct report_row *row)
{
	printf("{\"bench\":\"%s\",\"case\":\"%s\",\"value\":%.6g,\"unit\":\"%s\",", report.bench,
		row->name, row->value, row->unit);
	if (row->baseline)
		printf("\"baseline\":\"%s\",\"baseline_value\":%.6g,\"ratio\":%.4g,", row->baseline,
			row->baseline_value,
			row->baseline_value > 0 ? row->value / row->baseline_value : 0);
	else
		printf("\"baseline\":null,\"baseline_value\":null,\"ratio\":null,");
	printf("\"n\":%zu,\"p50\":%.6g,\"p99\":%.6g", row->n, row->p50, row->p99);
	if (row->p999 > 0)
		printf(",\"p999\":%.6g", row->p999);
	if (row->per_second > 0)
		printf(",\"per_second\":%.6g", row->per_second);
	printf("}\n");
}

static void print_known(int width, double value)
{
	if (value > 0)
		printf("%*.6g ", width, value);
	else
		printf("%*s ", width, "-");
}

static void print_line(const struct report_row *row)
{
	if (!report.headed)
		printf("%-34s %12s %-9s %12s %8s %6s %12s %12s %10s  %s\n", "case", "value", "unit",
			"baseline", "ratio", "n", "p99", "p99.9", "per second", "baseline is");
	report.headed = true;
	printf("%-34s %12.6g %-9s ", row->name, row->value, row->unit);
	if (row->baseline)
		printf("%12.6g %8.3g ", row->baseline_value,
			row->baseline_value > 0 ? row->value / row->baseline_value : 0);
	else
		printf("%12s %8s ", "-", "-");
	printf("%6zu %12.6g ", row->n, row->p99);
	print_known(12, row->p999);
	print_known(10, row->per_second);
	printf(" %s\n", row->baseline ? row->baseline : "-");
}

void report_row(const struct report_row *row)
{
	if (report.json)
		print_json(row);
	else
		print_line(row);
	fflush(stdout);
}

void report_samples(const char *name, const char *unit, struct samples *ours, const char *baseline,
	struct samples *theirs)
{
	double median = samples_median(ours);
	report_row(&(struct report_row){
		.name = name,
		.unit = unit,
		.baseline = baseline,
		.value = median,
		.baseline_value = theirs ? samples_median(theirs) : 0,
		.p50 = median,
		.p99 = samples_quantile(ours, 0.99),
		.p999 = samples_quantile(ours, 0.999),
		.n = ours->count,
	});
}

void report_note(const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
}
