/* Parsing a verb's options. Options and other arguments may be mixed; "--" ends the options. */
#include "cmd/ramet/options.h"

#include "base/clock.h"
#include "base/conf.h"
#include "base/parse.h"
#include "cmd/ramet/exit_code.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_OPTIONS 32 /* of a verb, that are offered as "did you mean" */

int options_wrong(const struct usage *usage, const char *fmt, ...)
{
	va_list ap;
	fprintf(stderr, "ramet %s: ", usage->verb);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fprintf(stderr, "\nTry: ramet %s --help\n", usage->verb);
	return EXIT_USAGE;
}

static void print_help(const struct usage *usage)
{
	printf("Usage: ramet %s%s%s\n\n%s\n", usage->verb, *usage->synopsis ? " " : "",
		usage->synopsis, usage->text);
	printf("\nOptions:\n");
	for (const struct option *o = usage->options; o->name; o++) {
		char left[64];
		char letter[8] = "    ";
		if (o->letter)
			snprintf(letter, sizeof(letter), "-%c, ", o->letter);
		snprintf(left, sizeof(left), "%s--%s%s%s", letter, o->name, o->arg ? " " : "",
			o->arg ? o->arg : "");
		printf("  %-28s %s\n", left, o->help);
	}
	printf("  %-28s %s\n", "-h, --help", "show this");
}

static const struct option *find_long(const struct usage *usage, const char *name, size_t len)
{
	for (const struct option *o = usage->options; o->name; o++)
		if (strlen(o->name) == len && memcmp(o->name, name, len) == 0)
			return o;
	return NULL;
}

static const struct option *find_letter(const struct usage *usage, char letter)
{
	for (const struct option *o = usage->options; o->name; o++)
		if (o->letter == letter)
			return o;
	return NULL;
}

static int unknown(const struct usage *usage, const char *given)
{
	const char *names[MAX_OPTIONS + 2] = {"help"};
	size_t count = 1;
	char word[48];
	snprintf(word, sizeof(word), "%.*s", (int)strcspn(given + strspn(given, "-"), "="),
		given + strspn(given, "-"));
	for (const struct option *o = usage->options; o->name && count <= MAX_OPTIONS; o++)
		names[count++] = o->name;
	const char *meant = given[1] == '-' ? conf_nearest(word, names) : NULL;
	if (meant)
		return options_wrong(usage, "unknown option %s; did you mean --%s?", given, meant);
	return options_wrong(usage, "unknown option %s", given);
}

static int store_number(const struct usage *usage, const struct option *o, const char *value)
{
	char *end;
	uint64_t ns;
	errno = 0;
	unsigned long long n = strtoull(value, &end, 10);
	bool wrong = errno || *end || end == value || value[0] == '-';
	if (wrong && o->kind == OPTION_MS && parse_duration(value, &ns) == 0) {
		n = (ns + NSEC_PER_MSEC - 1) / NSEC_PER_MSEC; /* 0 would mean: no limit */
		wrong = false;
	}
	if (wrong)
		return options_wrong(usage, "--%s takes a %s, not \"%s\"", o->name,
			o->kind == OPTION_MS ? "time (500, 500ms, 30s, 2m)" : "number", value);
	if (n > o->max)
		return options_wrong(usage, "--%s takes at most %llu%s, not %s", o->name,
			(unsigned long long)o->max, o->kind == OPTION_MS ? " ms" : "", value);
	*(uint64_t *)o->dst = n;
	return 0;
}

static int store(const struct usage *usage, const struct option *o, const char *value)
{
	if (o->kind == OPTION_STRING) {
		*(const char **)o->dst = value;
		return 0;
	}
	if (o->kind == OPTION_STRINGS) {
		struct option_strings *strings = o->dst;
		if (strings->count == OPTION_STRINGS_MAX)
			return options_wrong(usage, "too many --%s", o->name);
		strings->v[strings->count++] = value;
		return 0;
	}
	return store_number(usage, o, value);
}

/* Where the parser is. */
struct cursor {
	const struct usage *usage;
	int argc, at;
	char **argv;
};

static int take(struct cursor *c, const struct option *o, const char *value)
{
	if (o->kind == OPTION_FLAG) {
		if (value)
			return options_wrong(c->usage, "--%s takes no value", o->name);
		*(bool *)o->dst = true;
		return 0;
	}
	if (!value && ++c->at >= c->argc)
		return options_wrong(c->usage, "--%s needs %s", o->name, o->arg);
	return store(c->usage, o, value ? value : c->argv[c->at]);
}

static int take_long(struct cursor *c, const char *arg)
{
	size_t len = strcspn(arg + 2, "=");
	const struct option *o = find_long(c->usage, arg + 2, len);
	if (!o)
		return unknown(c->usage, arg);
	return take(c, o, arg[2 + len] ? arg + 2 + len + 1 : NULL);
}

/* one letter, with its value behind it or as the next argument: -n4, -n 4 */
static int take_letter(struct cursor *c, const char *arg)
{
	const struct option *o = find_letter(c->usage, arg[1]);
	if (!o || (o->kind == OPTION_FLAG && arg[2]))
		return unknown(c->usage, arg);
	return take(c, o, arg[2] ? arg + 2 : NULL);
}

static bool is_help(const char *arg)
{
	return strcmp(arg, "--help") == 0 || strcmp(arg, "-h") == 0;
}

bool options_parse(
	const struct usage *usage, int argc, char **argv, const char **args, int *ret_exit)
{
	struct cursor c = {usage, argc, 1, argv};
	unsigned count = 0;
	bool only_args = false;
	for (; c.at < argc; c.at++) {
		const char *arg = argv[c.at];
		int rc = 0;
		if (!only_args && is_help(arg)) {
			print_help(usage);
			*ret_exit = EXIT_OK;
			return false;
		}
		if (!only_args && strcmp(arg, "--") == 0)
			only_args = true;
		else if (!only_args && arg[0] == '-' && arg[1] == '-')
			rc = take_long(&c, arg);
		else if (!only_args && arg[0] == '-' && arg[1])
			rc = take_letter(&c, arg);
		else if (count == usage->max)
			rc = options_wrong(usage, "unexpected argument \"%s\"", arg);
		else
			args[count++] = arg;
		if (rc) {
			*ret_exit = rc;
			return false;
		}
	}
	if (count < usage->min) {
		*ret_exit = options_wrong(usage, "needs %s", usage->synopsis);
		return false;
	}
	if (args)
		args[count] = NULL;
	return true;
}
