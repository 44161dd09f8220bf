/* ramet cancel: end a call or a burst. */
#include "base/err.h"
#include "cmd/ramet/client.h"
#include "cmd/ramet/exit_code.h"
#include "cmd/ramet/json.h"
#include "cmd/ramet/verb.h"

int verb_cancel(int argc, char **argv)
{
	const char *socket = NULL;
	bool json = false;
	const struct option options[] = {OPTION_JSON(&json), OPTION_SOCKET(&socket), {0}};
	const struct usage usage = {"cancel", "CALL",
		"Cancel a call or a burst by its id: queued it is dropped, running it is killed.",
		options, 1, 1};
	const char *args[2];
	auto_ramet struct ramet *ramet = NULL;
	struct ramet_err err = {0};
	int code;
	if (!options_parse(&usage, argc, argv, args, &code))
		return code;
	int rc = ramet_open(socket, &ramet, &err);
	if (rc == 0)
		rc = ramet_cancel_id(ramet, args[0], &err);
	if (rc < 0)
		return exit_tell("cancel", &err);
	if (json) {
		struct json object;
		json_open(&object, stdout);
		json_str(&object, "cancelled", args[0]);
		json_close(&object);
		fputc('\n', stdout);
	}
	return EXIT_OK;
}
