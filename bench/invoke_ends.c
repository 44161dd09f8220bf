/* How soon a caller knows that its instance was killed, and how soon a loop that was cancelled has
 * ended. */
#include "bench/invoke.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/err.h"

#include <signal.h>

#define ROUNDS 50
#define WARM_UP 5 /* calls, after which they go through a lease */
#define RUNNING_MS 20 /* after that the call runs */

/* one call that does not end by itself, through a lease; *ret_pid is its instance's */
static int begin(struct ramet *ramet, const char *function, struct ramet_call **ret_call,
	pid_t *ret_pid, struct ramet_err *err)
{
	struct ramet_result *result = NULL;
	int rc = 0;
	for (unsigned i = 0; rc == 0 && i < WARM_UP; i++) {
		rc = ramet_call(ramet, function, "0", 1, NULL, &result, err);
		if (rc == 0)
			*ret_pid = result->pid;
		ramet_result_free(result);
	}
	if (rc == 0)
		rc = ramet_call_async(ramet, function, "1", 1, NULL, ret_call, err);
	if (rc < 0)
		return rc;
	rc = ramet_wait(*ret_call, RUNNING_MS, &result, err);
	ramet_result_free(result);
	if (rc != RAMET_ETIMEOUT)
		return err_set(
			err, RAMET_EINTERNAL, "%s ended by itself (%s)", function, err_name(rc));
	return 0;
}

static int kill_it(struct ramet_call *call, pid_t pid, struct ramet_err *err)
{
	return kill(pid, SIGKILL) < 0 ? err_errno(err, RAMET_EIO, "kill an instance") : 0;
}

static int cancel_it(struct ramet_call *call, pid_t pid, struct ramet_err *err)
{
	return ramet_cancel(call, err);
}

struct end {
	const char *name, *function;
	int (*fn)(struct ramet_call *call, pid_t pid, struct ramet_err *err);
	int code; /* of the call's failure */
};

static int once(struct ramet *ramet, const struct end *end, double *ret_us, struct ramet_err *err)
{
	struct ramet_call *call = NULL;
	struct ramet_result *result = NULL;
	struct ramet_err failure = {0};
	pid_t pid = 0;
	int rc = begin(ramet, end->function, &call, &pid, err);
	uint64_t begin_ns = now_ns();
	if (rc == 0)
		rc = end->fn(call, pid, err);
	if (rc == 0) {
		int code = ramet_wait(call, -1, &result, &failure);
		*ret_us = (double)(now_ns() - begin_ns) / 1e3;
		ramet_result_free(result);
		if (code != end->code)
			rc = err_set(err, RAMET_EINTERNAL, "%s ended with %s: %s", end->function,
				err_name(code), failure.msg);
	}
	ramet_call_free(call);
	return rc;
}

static int measure(struct ramet *ramet, const struct end *end, struct ramet_err *err)
{
	CLEANUP(samples_fini) struct samples ours = {0};
	for (unsigned i = 0; i < ROUNDS; i++) {
		double us = 0;
		int rc = once(ramet, end, &us, err);
		if (rc < 0)
			return rc;
		samples_add(&ours, us);
	}
	report_samples(end->name, "us", &ours, NULL, NULL);
	return 0;
}

int invoke_ends(struct ramet_err *err)
{
	static const struct end killed = {"death_detect", "wait_long", kill_it, RAMET_ELOST};
	static const struct end cancelled = {"cancel", "loop", cancel_it, RAMET_ECANCELED};
	struct invoke_cluster cluster;
	int rc = invoke_cluster_open(&cluster, 1, err);
	if (rc == 0)
		rc = invoke_deploy(&cluster, BENCH_LIBS "/libbench_invoke.so", "wait_long",
			"wait_long", NULL, err);
	if (rc == 0)
		rc = invoke_deploy(&cluster, BENCH_APPS "/invoke.py", "loop", "loop", NULL, err);
	if (rc == 0)
		rc = measure(cluster.ramet, &killed, err);
	if (rc == 0)
		rc = measure(cluster.ramet, &cancelled, err);
	invoke_cluster_close(&cluster);
	return rc;
}
