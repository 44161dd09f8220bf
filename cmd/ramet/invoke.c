/* ramet invoke: one call. */
#include "base/err.h"
#include "cmd/ramet/call_data.h"
#include "cmd/ramet/client.h"
#include "cmd/ramet/exit_code.h"
#include "cmd/ramet/follow.h"
#include "cmd/ramet/json.h"
#include "cmd/ramet/output_file.h"
#include "cmd/ramet/print_result.h"
#include "cmd/ramet/verb.h"
#include "libramet/result.h"

#include <stdio.h>

struct invoke {
	const char *data, *binary, *output, *socket;
	uint64_t node, deadline_ms;
	bool detach, follow, json;
};

static int print_detached(const struct invoke *o, const struct ramet_result *result)
{
	struct json json;
	if (!o->json) {
		printf("%s\n", result->call);
		return EXIT_OK;
	}
	json_open(&json, stdout);
	json_str(&json, "function", result->function);
	json_str(&json, "version", result->version);
	json_str(&json, "call", result->call);
	json_close(&json);
	fputc('\n', stdout);
	return EXIT_OK;
}

static int finish(const struct invoke *o, const struct ramet_result *result)
{
	struct ramet_err err = {0};
	int rc = result_status(result, &err);
	if (rc == 0 && o->detach)
		return print_detached(o, result);
	if (rc == 0 && o->output) {
		rc = output_file_write(o->output, result->output, result->output_len, &err);
		if (rc < 0)
			return exit_tell("invoke", &err);
	}
	if (o->json)
		print_result_json(stdout, result, false);
	else if (result->failure || !o->output)
		print_result_text("invoke", result);
	return (int)exit_code_of(rc);
}

static int call(struct ramet *ramet, const char *name, const struct invoke *o,
	const struct call_data *data, struct ramet_result **ret_result, struct ramet_err *err)
{
	struct ramet_call_options options = ramet_call_options_default();
	options.flags =
		(data->binary ? RAMET_CALL_BINARY : 0) | (o->detach ? RAMET_CALL_DETACH : 0);
	options.node = (uint32_t)o->node;
	options.deadline_ms = (uint32_t)o->deadline_ms;
	if (o->follow)
		return follow_call(
			ramet, name, data->text, data->len, &options, o->json, ret_result, err);
	return ramet_call(ramet, name, data->text, data->len, &options, ret_result, err);
}

static int invoke(const char *name, const struct invoke *o)
{
	CLEANUP(call_data_fini) struct call_data data = {0};
	auto_ramet struct ramet *ramet = NULL;
	auto_result struct ramet_result *result = NULL;
	struct ramet_err err = {0};
	int rc = output_file_check(o->output, &err);
	if (rc == 0)
		rc = call_data_load(o->data, o->binary, &data, &err);
	if (rc == 0)
		rc = ramet_open(o->socket, &ramet, &err);
	if (rc == 0)
		call(ramet, name, o, &data, &result, &err);
	if (result)
		return finish(o, result);
	if (o->json && (result = result_from_err(name, &err)))
		print_result_json(stdout, result, false);
	return exit_tell("invoke", &err);
}

int verb_invoke(int argc, char **argv)
{
	struct invoke o = {0};
	const struct option options[] = {
		{"node", 'N', OPTION_UINT, &o.node, UINT32_MAX, "N", "run it on this node"},
		OPTION_DATA(&o.data),
		OPTION_BINARY(&o.binary),
		{"deadline", 0, OPTION_MS, &o.deadline_ms, UINT32_MAX, "TIME",
			"end the call after so long: milliseconds, or 30s, 2m"},
		{"detach", 0, OPTION_FLAG, &o.detach, 0, NULL,
			"print the call's id and leave it running (see ramet wait)"},
		{"follow", 'f', OPTION_FLAG, &o.follow, 0, NULL,
			"show what the function prints (on stderr) and emits, as it comes"},
		{"output", 'o', OPTION_STRING, &o.output, 0, "FILE", "write the output there"},
		OPTION_JSON(&o.json),
		OPTION_SOCKET(&o.socket),
		{0},
	};
	const struct usage usage = {"invoke", "NAME [OPTION]...",
		"Call a function and print what it returns.", options, 1, 1};
	const char *args[2];
	int code;
	if (!options_parse(&usage, argc, argv, args, &code))
		return code;
	if (o.detach && (o.follow || o.output))
		return options_wrong(&usage, "--detach goes with neither --follow nor --output");
	return invoke(args[0], &o);
}
