/* ramet.yaml: what a directory deploys as. Reading, checking every value, and releasing;
 * ramet.yaml(5) is the user's page. Unknown keys, wrong types and values out of range are
 * RAMET_ECONFIG and name the file, the line and the key. */
#ifndef LIBRAMET_APP_CONFIG_H
#define LIBRAMET_APP_CONFIG_H

#include "base/cleanup.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define APP_CONFIG_FILE "ramet.yaml"
#define APP_CONFIG_MAX_BYTES (256u << 10) /* of the file */
#define APP_CONFIG_MAX_ITEMS 1024 /* of a list */

struct strings {
	char **v; /* count of them, then NULL; NULL when count is 0 */
	size_t count;
};
int strings_add(struct strings *strings, const char *value, struct ramet_err *err);
void strings_fini(struct strings *strings);

/* 0: none, or the default */
struct app_limits_config {
	uint64_t mem; /* bytes an instance may use */
	uint64_t heap; /* bytes an isolate may have allocated */
	uint64_t pids;
	uint64_t cpu; /* thousandths of a core */
	uint64_t deadline_ms; /* of a call */
	uint64_t output; /* bytes of an output */
};

struct app_function_config {
	char *name, *handler, *lang;
};

/* Strings are NULL when the key is missing. */
struct app_config {
	char *name, *app, *lang, *handler, *python, *fresh, *bind, *init, *samples;
	struct app_function_config *functions; /* instead of name and handler */
	size_t nfunctions;
	struct strings files;
	struct strings modules, path, data, requirements, secrets;
	char *requirements_file; /* instead of requirements */
	struct strings env; /* "KEY=value" */
	struct app_limits_config limits;
	unsigned close_on_fork; /* CLIENT_CLOSE_* (cluster/client_proto.h) */
	bool idempotent;
};

/* app_config_load - read a file; what it leaves out is zero */
int app_config_load(const char *path, struct app_config *ret_config, struct ramet_err *err);
/* app_config_parse - the same from memory; name is for messages */
int app_config_parse(const char *name, const char *text, size_t len, struct app_config *ret_config,
	struct ramet_err *err);
void app_config_fini(struct app_config *config);

/* app_config_env - check "KEY=value" and add it, in the place of an earlier one with that key */
int app_config_env(struct app_config *config, const char *pair, struct ramet_err *err);

#endif
