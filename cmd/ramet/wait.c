/* ramet wait: the result of a detached call. */
#include "base/err.h"
#include "cmd/ramet/client.h"
#include "cmd/ramet/exit_code.h"
#include "cmd/ramet/output_file.h"
#include "cmd/ramet/print_result.h"
#include "cmd/ramet/verb.h"
#include "libramet/result.h"

#include <limits.h>

struct wait {
	const char *output, *socket;
	uint64_t timeout_ms;
	bool json;
};

static int finish(const struct wait *o, const struct ramet_result *result)
{
	struct ramet_err err = {0};
	int rc = result_status(result, &err);
	if (rc == 0 && o->output) {
		rc = output_file_write(o->output, result->output, result->output_len, &err);
		if (rc < 0)
			return exit_tell("wait", &err);
	}
	if (o->json)
		print_result_json(stdout, result, false);
	else if (result->failure || !o->output)
		print_result_text("wait", result);
	return (int)exit_code_of(rc);
}

int verb_wait(int argc, char **argv)
{
	struct wait o = {0};
	const struct option options[] = {
		{"timeout", 0, OPTION_MS, &o.timeout_ms, INT_MAX, "TIME",
			"wait no longer; the call goes on"},
		{"output", 'o', OPTION_STRING, &o.output, 0, "FILE", "write the output there"},
		OPTION_JSON(&o.json),
		OPTION_SOCKET(&o.socket),
		{0},
	};
	const struct usage usage = {"wait", "CALL [OPTION]...",
		"Wait for a call that was sent off with ramet invoke --detach, and print its "
		"result.\nResults are kept for ten minutes and given out once.",
		options, 1, 1};
	const char *args[2];
	auto_ramet struct ramet *ramet = NULL;
	auto_result struct ramet_result *result = NULL;
	struct ramet_err err = {0};
	int code;
	if (!options_parse(&usage, argc, argv, args, &code))
		return code;
	if (output_file_check(o.output, &err) == 0 && ramet_open(o.socket, &ramet, &err) == 0)
		ramet_wait_id(ramet, args[0], o.timeout_ms ? (int)o.timeout_ms : -1, &result, &err);
	return result ? finish(&o, result) : exit_tell("wait", &err);
}
