/* The options of a verb: a table of what it takes, parsing, and the help text made of that table.
 */
#ifndef CMD_RAMET_OPTIONS_H
#define CMD_RAMET_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum option_kind {
	OPTION_FLAG, /* bool */
	OPTION_STRING, /* const char *, into argv */
	OPTION_STRINGS, /* struct option_strings; may be given several times */
	OPTION_UINT, /* uint64_t, 0 to max */
	OPTION_MS /* the same, milliseconds: 250, 250ms, 30s, 2m, 1h */
};

#define OPTION_STRINGS_MAX 256
struct option_strings {
	const char *v[OPTION_STRINGS_MAX + 1]; /* then NULL */
	size_t count;
};

struct option {
	const char *name; /* without "--"; NULL ends a table */
	char letter; /* or 0 */
	enum option_kind kind;
	void *dst;
	uint64_t max;
	const char *arg; /* what it takes, for the help: "MS" */
	const char *help;
};

struct usage {
	const char *verb;
	const char *synopsis; /* behind "ramet verb" */
	const char *text; /* what it does, some lines */
	const struct option *options;
	unsigned min, max; /* number of other arguments */
};

/* options_parse - fill in the options' destinations; other arguments go to args (max of them, then
 * NULL). true: go on. false: *ret_exit is the exit code, and all has been told (the help, or what
 * is wrong). */
bool options_parse(
	const struct usage *usage, int argc, char **argv, const char **args, int *ret_exit);

/* options_wrong - tell that the command line is wrong, with a hint to the help; returns EXIT_USAGE
 */
int options_wrong(const struct usage *usage, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

#endif
