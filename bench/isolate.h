/* The cases of bench/run isolate, by file: what languages cost here. */
#ifndef BENCH_ISOLATE_H
#define BENCH_ISOLATE_H

#include "bench/plugin.h"
#include "bench/report.h"

#include "base/err.h"

#include <stdbool.h>

/* An engine beside the same language without us: both do the same work on the same file. */
struct isolate_bare {
	const char *label; /* of rows: NAME_start, NAME_echo, … */
	const char *what; /* the baseline of starts, for people */
	const char *json; /* a function that reads and writes a document; NULL: the language has no JSON */
	/* one: a new isolate with the file loaded, one call with that number, and its end; *ret_us:
	 * what all of it took */
	int (*one)(const char *symbol, double input, double *ret_output, double *ret_us,
		struct ramet_err *err);
	/* many: the same, with so many calls in it; *ret_us is one call's share of them */
	int (*many)(const char *symbol, double input, unsigned calls, double *ret_us,
		struct ramet_err *err);
};

/* isolate_start - NAME_start: the engine's reset and call against bare->one, one after the other */
int isolate_start(struct plugin *plugin, const struct isolate_bare *bare, struct ramet_err *err);
/* isolate_calls - echo and a numeric kernel of functions 0 and 1, in an isolate that stays */
int isolate_calls(struct plugin *plugin, const struct isolate_bare *bare, struct ramet_err *err);
/* isolate_idle - bytes that each of so many isolates holds after one call, in a process of their
 * own: to be called while this one has no plugin of that name */
struct isolate_idle {
	const char *label, *lang, *dir, *handler, *compiled;
	unsigned count; /* ≤ PLUGIN_FUNCTIONS */
};
int isolate_idle(const struct isolate_idle *idle, struct ramet_err *err);
/* isolate_skip - 0 for RAMET_ENOTFOUND, which is told; other codes stay what they are */
int isolate_skip(const char *what, int rc, struct ramet_err *err);

int isolate_lua(struct ramet_err *err); /* starts and calls */
int isolate_wasm(struct ramet_err *err);
int isolate_v8(struct ramet_err *err);
int isolate_qjs(struct ramet_err *err);
int isolate_python(struct ramet_err *err); /* namespaces, clones */
int isolate_polyglot(struct ramet_err *err); /* clones of seeds with a second language */

int isolate_density(struct ramet_err *err); /* memory of resident functions */
int isolate_hot(struct ramet_err *err); /* first calls on another node */

#endif
