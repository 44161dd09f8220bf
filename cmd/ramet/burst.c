/* ramet burst: one function, N instances at once. */
#include "base/err.h"
#include "cluster/client_proto.h"
#include "cmd/ramet/bursting.h"
#include "cmd/ramet/call_data.h"
#include "cmd/ramet/client.h"
#include "cmd/ramet/exit_code.h"
#include "cmd/ramet/verb.h"

int verb_burst(int argc, char **argv)
{
	const char *data_text = NULL, *binary = NULL, *socket = NULL;
	uint64_t n = 0, node = 0, deadline_ms = 0;
	bool json = false;
	const struct option options[] = {
		{"instances", 'n', OPTION_UINT, &n, CLIENT_MAX_BURST, "N", "how many"},
		OPTION_DATA(&data_text),
		OPTION_BINARY(&binary),
		{"node", 'N', OPTION_UINT, &node, UINT32_MAX, "N", "all on this node"},
		{"deadline", 0, OPTION_MS, &deadline_ms, UINT32_MAX, "TIME",
			"end each call after so long"},
		OPTION_JSON(&json),
		OPTION_SOCKET(&socket),
		{0},
	};
	const struct usage usage = {"burst", "NAME -n N [OPTION]...",
		"Call a function in N instances at once; each gets its rank in its context.",
		options, 1, 1};
	const char *args[2];
	CLEANUP(call_data_fini) struct call_data data = {0};
	auto_ramet struct ramet *ramet = NULL;
	struct ramet_err err = {0};
	int code;
	if (!options_parse(&usage, argc, argv, args, &code))
		return code;
	if (n == 0)
		return options_wrong(&usage, "needs -n N, at least 1");
	int rc = call_data_load(data_text, binary, &data, &err);
	if (rc == 0)
		rc = ramet_open(socket, &ramet, &err);
	if (rc < 0)
		return exit_tell("burst", &err);
	const struct bursting burst = {
		"burst", (uint32_t)n, (uint32_t)node, (uint32_t)deadline_ms, json};
	return bursting_run(ramet, args[0], &data, &burst);
}
