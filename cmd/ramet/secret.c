/* ramet secret: what functions get and nobody sees. Values come from standard input or a file,
 * never from the command line, which others can read. */
#include "base/err.h"
#include "base/file.h"
#include "cmd/ramet/client.h"
#include "cmd/ramet/exit_code.h"
#include "cmd/ramet/json.h"
#include "cmd/ramet/verb.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define VALUE_MAX 65536

struct words {
	const char *socket, *app;
	bool json, raw;
};

static int load(const char *from, char **ret_value, size_t *ret_len, struct ramet_err *err)
{
	if (!from && isatty(STDIN_FILENO))
		fputs("ramet secret: the value, then Ctrl-D:\n", stderr);
	return from
		? file_read(from + 1, VALUE_MAX, ret_value, ret_len, err)
		: file_read_fd(STDIN_FILENO, "standard input", VALUE_MAX, ret_value, ret_len, err);
}

static int set(struct ramet *ramet, const struct words *words, const char *const *args,
	struct ramet_err *err)
{
	char *value = NULL;
	size_t len = 0;
	int rc = load(args[2], &value, &len, err);
	if (rc < 0)
		return rc;
	size_t given = len;
	if (!words->raw && len > 0 && value[len - 1] == '\n') /* of echo, and of editors */
		len--;
	rc = ramet_secret_set(ramet, args[1], words->app, value, len, err);
	explicit_bzero(value, given);
	free(value);
	return rc;
}

struct listing {
	struct json json;
	bool as_json;
	unsigned count;
};

static int print_one(void *user, const struct ramet_secret *secret)
{
	struct listing *listing = user;
	time_t changed = (time_t)(secret->changed_ms / 1000);
	char when[32] = "";
	struct tm tm;
	if (gmtime_r(&changed, &tm))
		strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", &tm);
	if (!listing->as_json) {
		if (listing->count++ == 0)
			printf("%-32s %-24s %s\n", "SECRET", "APP", "CHANGED");
		printf("%-32s %-24s %s\n", secret->name, secret->app[0] ? secret->app : "-", when);
		return 0;
	}
	fputs(listing->count++ ? ",\n" : "", stdout);
	struct json object;
	json_open(&object, stdout);
	json_str(&object, "name", secret->name);
	json_str(&object, "app", secret->app[0] ? secret->app : NULL);
	json_uint(&object, "uid", secret->uid);
	json_uint(&object, "bytes", secret->bytes);
	json_str(&object, "changed", when);
	json_close(&object);
	return 0;
}

static int list(struct ramet *ramet, const struct words *words, struct ramet_err *err)
{
	struct listing listing = {.as_json = words->json};
	if (words->json)
		fputc('[', stdout);
	int rc = ramet_secret_list(ramet, print_one, &listing, err);
	if (words->json)
		fputs("]\n", stdout);
	return rc;
}

static void tell(const struct words *words, const char *what, const char *name)
{
	struct json object;
	if (!words->json) {
		printf("%s %s\n", what, name);
		return;
	}
	json_open(&object, stdout);
	json_str(&object, what, name);
	json_close(&object);
	fputc('\n', stdout);
}

/* whether the arguments fit what is to be done */
static bool fits(const char *const *args)
{
	if (strcmp(args[0], "list") == 0)
		return !args[1];
	if (strcmp(args[0], "remove") == 0)
		return args[1] && !args[2];
	return strcmp(args[0], "set") == 0 && args[1] && (!args[2] || args[2][0] == '@');
}

int verb_secret(int argc, char **argv)
{
	struct words words = {0};
	const struct option options[] = {
		{"app", 0, OPTION_STRING, &words.app, 0, "APP", "only for this app"},
		{"raw", 0, OPTION_FLAG, &words.raw, 0, NULL, "keep a newline at the value's end"},
		OPTION_JSON(&words.json), OPTION_SOCKET(&words.socket), {0}};
	const struct usage usage = {"secret", "set NAME [@FILE] | list | remove NAME",
		"What functions that name it get, and nobody else sees. The value is read from "
		"standard input, or from FILE.",
		options, 1, 3};
	const char *args[4] = {NULL};
	auto_ramet struct ramet *ramet = NULL;
	struct ramet_err err = {0};
	int code;
	if (!options_parse(&usage, argc, argv, args, &code))
		return code;
	if (!fits(args))
		return options_wrong(&usage,
			"set NAME [@FILE], list, or remove NAME was expected; values come from "
			"standard input or a file");
	int rc = ramet_open(words.socket, &ramet, &err);
	if (rc < 0)
		return exit_tell("secret", &err);
	if (strcmp(args[0], "list") == 0)
		rc = list(ramet, &words, &err);
	else if (strcmp(args[0], "set") == 0)
		rc = set(ramet, &words, args, &err);
	else
		rc = ramet_secret_remove(ramet, args[1], words.app, &err);
	if (rc < 0)
		return exit_tell("secret", &err);
	if (args[1])
		tell(&words, strcmp(args[0], "set") == 0 ? "set" : "removed", args[1]);
	return EXIT_OK;
}
