/* ramet run: a file is deployed under a name of its own, called N times at once, and removed. */
#include "base/clock.h"
#include "base/err.h"
#include "cluster/client_proto.h"
#include "cmd/ramet/bursting.h"
#include "cmd/ramet/call_data.h"
#include "cmd/ramet/client.h"
#include "cmd/ramet/deploying.h"
#include "cmd/ramet/exit_code.h"
#include "cmd/ramet/interrupt.h"
#include "cmd/ramet/print_result.h"
#include "cmd/ramet/verb.h"
#include "libramet/result.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct run {
	struct deploying deploying;
	struct bursting burst;
	const char *data, *binary, *socket;
	uint64_t n;
	char name[CLIENT_NAME_MAX + 1]; /* of the function */
};

/* no other function has this name: it must neither replace one nor be removed by another run */
static void make_name(const char *path, char name[CLIENT_NAME_MAX + 1])
{
	size_t len = strlen(path);
	while (len > 1 && path[len - 1] == '/')
		len--;
	size_t from = len;
	while (from > 0 && path[from - 1] != '/')
		from--;
	size_t n = 0;
	for (size_t i = from; i < len && n < 24 && path[i] != '.'; i++)
		name[n++] = isalnum((unsigned char)path[i]) ? path[i] : '_';
	snprintf(name + n, CLIENT_NAME_MAX + 1 - n, "%srun-%d-%llx", n ? "-" : "", getpid(),
		(unsigned long long)clock_ns(CLOCK_REALTIME) / 1000);
}

static int deploy(struct ramet *ramet, const char *path, struct run *o, int *ret_exit)
{
	auto_result struct ramet_result *result = NULL;
	struct ramet_err err = {0};
	int rc = deploying_run(ramet, path, &o->deploying, &result, &err);
	if (rc == 0)
		return 0;
	if (result && o->burst.json)
		print_result_json(stdout, result, false);
	else if (result)
		print_failure("run", result);
	*ret_exit = result ? (int)exit_code_of(rc) : exit_tell("run", &err);
	return rc;
}

struct deployed {
	const char *socket, *name;
};

/* over a connection of its own: the other one is in use. A deployment that is under way is awaited
 * before: it would go on without us, and its function would stay. */
static void undo(void *user)
{
	const struct deployed *deployed = user;
	auto_ramet struct ramet *ramet = NULL;
	if (ramet_open(deployed->socket, &ramet, NULL) == 0)
		ramet_remove(ramet, deployed->name, NULL);
}

static int run(const char *path, struct run *o)
{
	struct interrupt interrupt = {0};
	CLEANUP(call_data_fini) struct call_data data = {0};
	auto_ramet struct ramet *ramet = NULL;
	struct ramet_err err = {0};
	make_name(path, o->name);
	o->deploying.options.name = o->name;
	o->deploying.options.app = o->name;
	int rc = call_data_load(o->data, o->binary, &data, &err);
	if (rc == 0)
		rc = ramet_open(o->socket, &ramet, &err);
	if (rc < 0)
		return exit_tell("run", &err);
	int code;
	struct deployed deployed = {o->socket, o->name};
	interrupt_arm(&interrupt, undo, &deployed);
	if (deploy(ramet, path, o, &code) == 0) {
		interrupt_ready(&interrupt);
		code = bursting_run(ramet, o->name, &data, &o->burst);
		if (ramet_remove(ramet, o->name, &err) < 0)
			fprintf(stderr, "ramet run: remove %s: %s\n", o->name, err.msg);
	}
	interrupt_disarm(&interrupt);
	return code;
}

int verb_run(int argc, char **argv)
{
	struct run o = {.deploying = {.options = ramet_deploy_options_default()}, .n = 1};
	const struct option options[] = {
		{"instances", 'n', OPTION_UINT, &o.n, CLIENT_MAX_BURST, "N",
			"how many (default 1)"},
		OPTION_DATA(&o.data),
		OPTION_BINARY(&o.binary),
		OPTIONS_DEPLOYING(&o.deploying),
		OPTION_JSON(&o.burst.json),
		OPTION_SOCKET(&o.socket),
		{0},
	};
	const struct usage usage = {"run", "[-n N] FILE [OPTION]...",
		"Deploy FILE (or a directory), call it in N instances at once, remove it.", options,
		1, 1};
	const char *args[2];
	struct ramet_err err = {0};
	int code;
	if (!options_parse(&usage, argc, argv, args, &code))
		return code;
	if (deploying_options(&o.deploying, &err) < 0)
		return options_wrong(&usage, "%s", err.msg);
	if (o.n == 0)
		return options_wrong(&usage, "needs at least one instance");
	o.burst.verb = "run";
	o.burst.n = (uint32_t)o.n;
	return run(args[0], &o);
}
