/* A look at ramet.yaml before it is checked against a schema: the keys of env, which are the user's
 * to choose, what may be of two types, and keys that are Ramet's but that this version cannot
 * honour. */
#ifndef LIBRAMET_APP_CONFIG_SCAN_H
#define LIBRAMET_APP_CONFIG_SCAN_H

#include "libramet/app_config.h"

struct app_config_scan {
	struct strings env_keys;
	bool requirements_listed; /* a list, not the name of a file */
};
void app_config_scan_fini(struct app_config_scan *scan);

/* app_config_scan - text that is no YAML, or not a mapping, is fine here: the check that follows
 * says so */
int app_config_scan(const char *name, const char *text, size_t len,
	struct app_config_scan *ret_scan, struct ramet_err *err);
/* app_config_env_key - whether these len bytes may name an environment variable */
bool app_config_env_key(const char *key, size_t len);

#endif
