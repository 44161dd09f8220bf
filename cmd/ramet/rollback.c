/* ramet rollback: an earlier version of an app is what is called. */
#include "base/err.h"
#include "cmd/ramet/client.h"
#include "cmd/ramet/deploying.h"
#include "cmd/ramet/exit_code.h"
#include "cmd/ramet/verb.h"
#include "libramet/result.h"

int verb_rollback(int argc, char **argv)
{
	const char *socket = NULL, *version = NULL;
	bool json = false;
	const struct option options[] = {
		{"version", 0, OPTION_STRING, &version, 0, "VERSION",
			"its first digits, or latest (default: the one before)"},
		OPTION_JSON(&json), OPTION_SOCKET(&socket), {0}};
	const struct usage usage = {"rollback", "NAME",
		"Go back to an earlier version of a function, and of all functions deployed with "
		"it.\n`ramet functions --versions` lists them.",
		options, 1, 1};
	const char *args[2];
	auto_ramet struct ramet *ramet = NULL;
	auto_result struct ramet_result *result = NULL;
	struct ramet_err err = {0};
	int code;
	if (!options_parse(&usage, argc, argv, args, &code))
		return code;
	if (ramet_open(socket, &ramet, &err) == 0)
		(void)ramet_rollback(ramet, args[0], version, &result, &err);
	return result ? deploying_finish(result, "rollback", json) : exit_tell("rollback", &err);
}
