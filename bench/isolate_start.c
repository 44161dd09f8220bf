/* Starts of isolates and calls in those that stay, each sample followed by one of the bare engine.
 */
#include "bench/isolate.h"

#include "base/cleanup.h"
#include "base/clock.h"

#include <stdio.h>

#define ROUNDS 1000
#define WARM_UP 50
#define CALL_ROUNDS 50
#define CALLS 2000
#define KERNEL_CALLS 5
#define JSON_CALLS 200
#define KERNEL_INPUT 100000.0
#define KERNEL_JSON "100000"

int isolate_skip(const char *what, int rc, struct ramet_err *err)
{
	if (rc != RAMET_ENOTFOUND)
		return rc;
	report_note("%s: skipped: %s", what, err->msg);
	err_clear(err);
	return 0;
}

static int start_ours(struct plugin *plugin, double *ret_us, struct ramet_err *err)
{
	uint64_t begin = now_ns();
	int rc = plugin_reset(plugin, err);
	if (rc == 0)
		rc = plugin_call(plugin, 0, "21", "21", err);
	*ret_us = (double)(now_ns() - begin) / 1e3;
	return rc;
}

static int start_bare(const struct isolate_bare *bare, double *ret_us, struct ramet_err *err)
{
	double output = 0;
	int rc = bare->one("echo", 21, &output, ret_us, err);
	if (rc == 0 && output != 21)
		rc = err_set(err, RAMET_EINTERNAL, "the bare engine answered %g", output);
	return rc;
}

int isolate_start(struct plugin *plugin, const struct isolate_bare *bare, struct ramet_err *err)
{
	CLEANUP(samples_fini) struct samples ours = {0}, theirs = {0};
	char name[64];
	int rc = plugin_call(plugin, 0, "21", "21", err); /* which one reset() is for */
	for (int i = -WARM_UP; rc == 0 && i < ROUNDS; i++) {
		double our_us = 0;
		double their_us = 0;
		rc = start_ours(plugin, &our_us, err);
		if (rc == 0)
			rc = start_bare(bare, &their_us, err);
		if (rc == 0 && i >= 0) {
			samples_add(&ours, our_us);
			samples_add(&theirs, their_us);
		}
	}
	if (rc < 0)
		return rc;
	snprintf(name, sizeof(name), "%s_start", bare->label);
	report_samples(name, "us", &ours, bare->what, &theirs);
	return 0;
}

/* --- calls in an isolate that stays --- */

struct kernel {
	const char *name, *json, *expected;
	const char *symbol; /* that the bare engine runs; NULL: it has none */
	const char *baseline;
	double input;
	unsigned function, calls;
};

#define DOCUMENT_ROWS 24

/* what isolate.js parses and writes, too */
static const char *document(void)
{
	static const char row[] = "{\"value\":[1.5,true,null,\"text\"]}";
	static char text[DOCUMENT_ROWS * sizeof(row) + 2];
	size_t len = 0;
	for (unsigned i = 0; i < DOCUMENT_ROWS; i++)
		len += (size_t)snprintf(
			text + len, sizeof(text) - len, "%c%s", i == 0 ? '[' : ',', row);
	snprintf(text + len, sizeof(text) - len, "]");
	return text;
}

static int calls_ours(
	struct plugin *plugin, const struct kernel *kernel, double *ret_us, struct ramet_err *err)
{
	uint64_t begin = now_ns();
	int rc = 0;
	for (unsigned i = 0; rc == 0 && i < kernel->calls; i++)
		rc = plugin_call(plugin, kernel->function, kernel->json, kernel->expected, err);
	*ret_us = (double)(now_ns() - begin) / 1e3 / kernel->calls;
	return rc;
}

static int run_kernel(struct plugin *plugin, const struct isolate_bare *bare,
	const struct kernel *kernel, struct ramet_err *err)
{
	CLEANUP(samples_fini) struct samples ours = {0}, theirs = {0};
	char name[64];
	int rc = 0;
	for (int i = -2; rc == 0 && i < CALL_ROUNDS; i++) {
		double our_us = 0;
		double their_us = 0;
		rc = calls_ours(plugin, kernel, &our_us, err);
		if (rc == 0 && kernel->symbol)
			rc = bare->many(
				kernel->symbol, kernel->input, kernel->calls, &their_us, err);
		if (rc == 0 && i >= 0) {
			samples_add(&ours, our_us);
			samples_add(&theirs, their_us);
		}
	}
	if (rc < 0)
		return rc;
	snprintf(name, sizeof(name), "%s_call_%s", bare->label, kernel->name);
	report_row(&(struct report_row){
		.name = name,
		.unit = "us",
		.baseline = kernel->symbol ? kernel->baseline : NULL,
		.value = samples_median(&ours),
		.baseline_value = samples_median(&theirs),
		.p50 = samples_median(&ours),
		.p99 = samples_quantile(&ours, 0.99),
		.per_second = 1e6 / samples_median(&ours),
		.n = ours.count,
	});
	return 0;
}

int isolate_calls(struct plugin *plugin, const struct isolate_bare *bare, struct ramet_err *err)
{
	char sum[32];
	double value = 0;
	double us = 0;
	int rc = bare->one("sum", KERNEL_INPUT, &value, &us, err);
	snprintf(sum, sizeof(sum), "%.0f", value);
	static const char number[] = "the bare engine, a number in and out without JSON";
	const struct kernel kernels[] = {
		{"echo", "21", "21", "echo", number, 21, 0, CALLS},
		{"json", document(), document(), bare->json,
			"JSON.parse() and stringify() of the same text", 0, 0, JSON_CALLS},
		{"sum", KERNEL_JSON, sum, "sum", number, KERNEL_INPUT, 1, KERNEL_CALLS},
	};
	for (size_t i = 0; rc == 0 && i < ARRAY_LEN(kernels); i++)
		rc = run_kernel(plugin, bare, &kernels[i], err);
	return rc;
}
