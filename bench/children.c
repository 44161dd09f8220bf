/* See children.h. */
#include "bench/children.h"

#include "base/clock.h"
#include "base/err.h"

static int end_one(struct proc *proc, struct ramet_err *err)
{
	int rc = proc_wait_made(proc, err);
	if (rc == 0)
		rc = proc_wait_ended(proc, err);
	if (rc == 0 && proc->how.status != 0)
		rc = err_set(err, RAMET_ELOST, "a clone ended with status %d", proc->how.status);
	return rc;
}

static int one_burst(struct node *node, uint64_t tmpl, struct ramet_err *err)
{
	struct proc *procs[CHILDREN_BURST] = {0};
	const struct clone_options options = {.exit = true};
	int rc = 0;
	for (unsigned i = 0; rc == 0 && i < CHILDREN_BURST; i++)
		rc = node_clone(node, tmpl, &options, &procs[i], err);
	for (unsigned i = 0; rc == 0 && i < CHILDREN_BURST; i++)
		rc = end_one(procs[i], err);
	for (unsigned i = 0; i < CHILDREN_BURST; i++)
		proc_free(procs[i]);
	return rc;
}

int children_rate(
	struct node *node, uint64_t tmpl, unsigned count, double *ret_rate, struct ramet_err *err)
{
	uint64_t begin = now_ns();
	for (unsigned done = 0; done < count; done += CHILDREN_BURST) {
		int rc = one_burst(node, tmpl, err);
		if (rc < 0)
			return rc;
	}
	*ret_rate = count / ((double)(now_ns() - begin) / 1e9);
	return 0;
}

int children_run(struct node *node, uint64_t tmpl, const struct clone_options *options,
	struct proc **ret_proc, struct ramet_err *err)
{
	auto_proc struct proc *proc = NULL;
	int rc = node_clone(node, tmpl, options, &proc, err);
	if (rc == 0)
		rc = proc_wait_made(proc, err);
	if (rc == 0)
		rc = proc_wait_ended(proc, err);
	if (rc == 0)
		rc = proc_wait_started(proc, err);
	if (rc == 0 && options->function)
		rc = proc_result(proc, NULL, err);
	if (rc == 0 && (proc->how.status != 0 || proc->how.signal != 0))
		rc = err_set(err, RAMET_ELOST, "a clone ended with status %d, signal %d",
			proc->how.status, proc->how.signal);
	if (rc < 0)
		return rc;
	*ret_proc = steal_ptr(&proc);
	return 0;
}
