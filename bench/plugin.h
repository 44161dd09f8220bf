/* An engine's shared object in the process of a benchmark, without daemon and host: opened, loaded
 * with an application's functions, and called as libramet-host does it. */
#ifndef BENCH_PLUGIN_H
#define BENCH_PLUGIN_H

#include "base/err.h"

#include "ramet/engine.h"

#include <stddef.h>

#define PLUGIN_FUNCTIONS 1024u

struct plugin {
	const struct ramet_engine_ops *ops;
	struct ramet_engine *engine;
	struct ramet_engine_load load;
	struct ramet_engine_function functions[PLUGIN_FUNCTIONS];
};

struct plugin_app {
	const char *dir;
	const char *handlers[2]; /* of even and of odd functions */
	unsigned count; /* of functions */
	const char *compiled; /* see ramet_engine_load */
};

/* plugin_exists - 0, or RAMET_ENOTFOUND: this build has no such engine */
int plugin_exists(const char *name, struct ramet_err *err);
/* plugin_open - engine NAME of this build, with the functions loaded, as a captured host has them;
 * the handles live until the process ends, one plugin of a name in a process. RAMET_ENOTFOUND: as
 * plugin_exists. */
int plugin_open(
	const char *name, const struct plugin_app *app, struct plugin *ret, struct ramet_err *err);
/* plugin_call - one call with JSON text, to the end of done(); it must answer `expected` */
int plugin_call(struct plugin *plugin, unsigned function, const char *json, const char *expected,
	struct ramet_err *err);
/* plugin_reset - the function that was called last gets a new isolate */
int plugin_reset(struct plugin *plugin, struct ramet_err *err);

#endif
