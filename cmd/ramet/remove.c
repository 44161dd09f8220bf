/* ramet remove: a function goes. */
#include "base/err.h"
#include "cmd/ramet/client.h"
#include "cmd/ramet/exit_code.h"
#include "cmd/ramet/json.h"
#include "cmd/ramet/verb.h"

int verb_remove(int argc, char **argv)
{
	const char *socket = NULL;
	bool json = false;
	const struct option options[] = {OPTION_JSON(&json), OPTION_SOCKET(&socket), {0}};
	const struct usage usage = {"remove", "NAME",
		"Remove a function. Its running calls are cancelled; its app goes with its last "
		"function.",
		options, 1, 1};
	const char *args[2];
	auto_ramet struct ramet *ramet = NULL;
	struct ramet_err err = {0};
	int code;
	if (!options_parse(&usage, argc, argv, args, &code))
		return code;
	int rc = ramet_open(socket, &ramet, &err);
	if (rc == 0)
		rc = ramet_remove(ramet, args[0], &err);
	if (rc < 0)
		return exit_tell("remove", &err);
	if (json) {
		struct json object;
		json_open(&object, stdout);
		json_str(&object, "removed", args[0]);
		json_close(&object);
		fputc('\n', stdout);
	} else {
		printf("removed %s\n", args[0]);
	}
	return EXIT_OK;
}
