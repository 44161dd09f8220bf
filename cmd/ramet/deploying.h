/* What `deploy` and `run` share: the options of a deployment, doing it with progress, telling what
 * became of it. */
#ifndef CMD_RAMET_DEPLOYING_H
#define CMD_RAMET_DEPLOYING_H

#include "cmd/ramet/options.h"
#include "ramet/ramet.h"

/* Destinations of the options, to be turned into struct ramet_deploy_options by
 * deploying_options(). */
struct deploying {
	struct option_strings env;
	uint64_t node, deadline_ms;
	const char *mem;
	bool idempotent;
	struct ramet_deploy_options options;
};

#define OPTIONS_DEPLOYING(d) \
	{"lang", 0, OPTION_STRING, &(d)->options.lang, 0, "LANG", \
		"python or native (default: by extension)"}, \
		{"handler", 0, OPTION_STRING, &(d)->options.handler, 0, "SYMBOL", \
			"what to call, or FILE:SYMBOL (default: handler)"}, \
		{"python", 0, OPTION_STRING, &(d)->options.python, 0, "PATH", \
			"interpreter, on the nodes; a virtual environment's is fine"}, \
		{"env", 'e', OPTION_STRINGS, &(d)->env, 0, "KEY=VALUE", \
			"environment variable; may be given several times"}, \
		{"samples", 0, OPTION_STRING, &(d)->options.samples, 0, "FILE", \
			"JSON values, one a line, to call it with before the capture"}, \
		{"fresh", 0, OPTION_STRING, &(d)->options.fresh, 0, "reuse|reset|fresh", \
			"what of an instance the next call may find (default reuse)"}, \
		{"idempotent", 0, OPTION_FLAG, &(d)->idempotent, 0, NULL, \
			"calls may be run again when their instance was lost"}, \
		{"mem", 0, OPTION_STRING, &(d)->mem, 0, "SIZE", \
			"memory of an instance, as in 512M"}, \
		{"deadline", 0, OPTION_MS, &(d)->deadline_ms, UINT32_MAX, "TIME", \
			"of a call that names none: milliseconds, or 30s, 2m"}, \
	{ \
		"node", 'N', OPTION_UINT, &(d)->node, UINT32_MAX, "N", \
			"initialise it on this node" \
	}

/* deploying_options - finish d->options; RAMET_EINVAL */
int deploying_options(struct deploying *d, struct ramet_err *err);
/* deploying_run - ramet_deploy() with progress on a terminal */
int deploying_run(struct ramet *ramet, const char *path, struct deploying *d,
	struct ramet_result **ret_result, struct ramet_err *err);

/* deploying_finish - print what became of it; returns the exit code */
int deploying_finish(const struct ramet_result *result, const char *verb, bool json);

#endif
