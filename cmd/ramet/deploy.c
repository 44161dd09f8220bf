/* ramet deploy: an app is initialised once and captured. */
#include "base/err.h"
#include "cmd/ramet/client.h"
#include "cmd/ramet/deploying.h"
#include "cmd/ramet/exit_code.h"
#include "cmd/ramet/json.h"
#include "cmd/ramet/print_result.h"
#include "cmd/ramet/table.h"
#include "cmd/ramet/verb.h"
#include "libramet/result.h"

static void print_json(const struct ramet_result *r)
{
	struct json json, us;
	json_open(&json, stdout);
	json_str(&json, "function", r->function);
	json_str(&json, "version", r->version);
	json_uint(&json, "node", r->node);
	json_uint(&json, "instance", r->instance);
	json_int(&json, "pid", r->pid);
	json_str(&json, "start", ramet_start_name(r->start));
	json_uint(&json, "image_bytes", r->image_bytes);
	json_str(&json, "error", NULL);
	json_open(&us, json_key(&json, "us"));
	json_us(&us, "start", r->start_us);
	json_us(&us, "load", r->run_us);
	json_us(&us, "capture", r->capture_us);
	json_us(&us, "stall", r->stall_us);
	json_us(&us, "total", r->total_us);
	json_close(&us);
	json_close(&json);
	fputc('\n', stdout);
}

static void print_text(const struct ramet_result *r)
{
	char start[24], load[24], capture[24], stall[24], image[24];
	printf("deployed %s, version %.12s, on node %u", r->function, r->version, r->node);
	if (r->start != RAMET_START_COLD && r->start != RAMET_START_LOCAL_FORK) {
		printf(": it was there already\n");
		return;
	}
	printf(": %s in %s, loaded in %s, captured in %s (stood still %s), image %s\n",
		r->start == RAMET_START_COLD ? "started" : "forked from the base",
		table_us(start, r->start_us), table_us(load, r->run_us),
		table_us(capture, r->capture_us), table_us(stall, r->stall_us),
		table_bytes(image, r->image_bytes));
}

int deploying_finish(const struct ramet_result *result, const char *verb, bool json)
{
	struct ramet_err err = {0};
	int rc = result_status(result, &err);
	if (json && rc < 0)
		print_result_json(stdout, result, false);
	else if (rc < 0)
		print_failure(verb, result);
	else if (json)
		print_json(result);
	else
		print_text(result);
	return (int)exit_code_of(rc);
}

int verb_deploy(int argc, char **argv)
{
	struct deploying d = {.options = ramet_deploy_options_default()};
	const char *socket = NULL;
	bool json = false;
	const struct option options[] = {
		{"name", 0, OPTION_STRING, &d.options.name, 0, "NAME",
			"of the function (default: the file's)"},
		{"app", 0, OPTION_STRING, &d.options.app, 0, "APP",
			"the app it belongs to (default: its name)"},
		OPTIONS_DEPLOYING(&d),
		OPTION_JSON(&json),
		OPTION_SOCKET(&socket),
		{0},
	};
	const struct usage usage = {"deploy", "DIR|FILE [OPTION]...",
		"Initialise a function on one node and capture it; every other instance is a fork "
		"of "
		"that.\nFILE is a .py, .so, .lua or .wasm; DIR has a ramet.yaml (see ramet.yaml(5)).",
		options, 1, 1};
	const char *args[2];
	auto_ramet struct ramet *ramet = NULL;
	auto_result struct ramet_result *result = NULL;
	struct ramet_err err = {0};
	int code;
	if (!options_parse(&usage, argc, argv, args, &code))
		return code;
	if (deploying_options(&d, &err) < 0)
		return options_wrong(&usage, "%s", err.msg);
	if (ramet_open(socket, &ramet, &err) == 0)
		deploying_run(ramet, args[0], &d, &result, &err);
	return result ? deploying_finish(result, "deploy", json) : exit_tell("deploy", &err);
}
