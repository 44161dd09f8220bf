/* A host whose functions are the cases of state.h: its load sets them up, a call checks one. Loads
 * libramet-host as the engines do, so that captures and clones are the real ones. */
#include "tests/rfork/state.h"

#include "runtime/host/host.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define MAX_CASES 256

struct ramet_engine {
	const struct state_case *cases[MAX_CASES];
	bool absent[MAX_CASES]; /* not on this kernel */
	bool clone;
};
static struct ramet_engine engine;
static char message[512];

static int fail(struct ramet_engine_error *error, const char *what, const char *name)
{
	int n = snprintf(message, sizeof(message), "%s: \"%s\" (%s)", what, name, strerror(errno));
	*error = (struct ramet_engine_error){
		.code = RAMET_EUSER, .kind = RAMET_ENGINE_USER, .message = {message, (size_t)n}};
	return RAMET_EUSER;
}

static int state_init(int deadline_signal, char *detail, size_t cap,
	struct ramet_engine **ret_engine, struct ramet_err *err)
{
	(void)deadline_signal;
	(void)err;
	snprintf(detail, cap, "cases of process state");
	*ret_engine = &engine;
	return 0;
}

static int state_load(struct ramet_engine *e, const struct ramet_engine_load *load,
	struct ramet_engine_error *error)
{
	for (unsigned i = 0; i < load->nfunctions; i++) {
		const struct state_case *c =
			i < MAX_CASES ? state_find(load->functions[i].name) : NULL;
		if (!c)
			return fail(error, "no such case", load->functions[i].name);
		int rc = c->setup ? c->setup() : STATE_OK;
		if (rc < 0)
			return fail(error, "set-up failed", c->name);
		e->cases[i] = c;
		e->absent[i] = rc == STATE_NOT_HERE;
	}
	return 0;
}

/* "": all is well, "absent", or what is wrong */
static int state_call(struct ramet_engine *e, const struct ramet_engine_call *call,
	struct ramet_engine_result *ret_result, struct ramet_engine_error *ret_error)
{
	(void)ret_error;
	const struct state_case *c = e->cases[call->function];
	const char *(*check)(void) = e->clone ? c->check_child : c->check_parent;
	const char *text = e->absent[call->function] ? "absent" : check ? check() : NULL;
	text = text ? text : "";
	*ret_result = (struct ramet_engine_result){text, strlen(text), false};
	return 0;
}

static void state_nothing(struct ramet_engine *e)
{
	(void)e;
}

static int state_before_snapshot(struct ramet_engine *e, struct ramet_err *err)
{
	(void)e;
	(void)err;
	return 0;
}

static int state_after_clone(struct ramet_engine *e,
	const unsigned char seed[RAMET_ENGINE_SEED_BYTES], struct ramet_err *err)
{
	(void)seed;
	(void)err;
	e->clone = true;
	return 0;
}

int main(void)
{
	static const struct ramet_engine_ops ops = {
		.name = "state",
		.abi = RAMET_ENGINE_ABI,
		.init = state_init,
		.load = state_load,
		.call = state_call,
		.done = state_nothing,
		.interrupt = state_nothing,
		.before_snapshot = state_before_snapshot,
		.after_clone = state_after_clone,
	};
	struct ramet_err err = {0};
	if (ramet_host_register(&ops, &err) < 0) {
		fprintf(stderr, "state_host: %s\n", err.msg);
		return 1;
	}
	_exit(ramet_host_run());
}
