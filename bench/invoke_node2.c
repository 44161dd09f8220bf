/* Small calls to node 2, one after the other. */
#include "bench/invoke.h"

#include "base/err.h"

#include <string.h>

static int call(struct ramet *ramet, double *ret_us, bool *ret_leased, pid_t *ret_pid,
	struct ramet_err *err)
{
	struct ramet_call_options options = ramet_call_options_default();
	struct invoke_call call = {.function = "echo", .options = &options};
	char data[INVOKE_NODE2_SIZE];
	options.node = 2;
	options.flags = RAMET_CALL_BINARY;
	memset(data, 'x', sizeof(data));
	int rc = invoke_call(ramet, &call, data, sizeof(data), ret_us, err);
	*ret_leased = strchr(call.id, '.') != NULL;
	*ret_pid = call.pid;
	return rc;
}

int invoke_node2_warm_up(struct ramet *ramet, unsigned calls, pid_t *ret_pid, struct ramet_err *err)
{
	bool leased = false;
	double us = 0;
	int rc = 0;
	for (unsigned i = 0; rc == 0 && i < calls; i++)
		rc = call(ramet, &us, &leased, ret_pid, err);
	if (rc == 0 && !leased)
		rc = err_set(err, RAMET_EINTERNAL, "calls to node 2 go through no lease");
	return rc;
}

int invoke_node2_block(
	struct ramet *ramet, unsigned calls, struct samples *ret, struct ramet_err *err)
{
	for (unsigned i = 0; i < calls; i++) {
		bool leased = false;
		double us = 0;
		pid_t pid = 0;
		int rc = call(ramet, &us, &leased, &pid, err);
		if (rc == 0 && !leased)
			rc = err_set(
				err, RAMET_EINTERNAL, "a call to node 2 went through no lease");
		if (rc < 0)
			return rc;
		samples_add(ret, us);
	}
	return 0;
}
