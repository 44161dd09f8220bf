/* A look at ramet.yaml before it is checked against a schema: the keys of env, which are the user's
 * to choose, and keys that are Ramet's but that this version cannot honour. */
#ifndef LIBRAMET_APP_CONFIG_SCAN_H
#define LIBRAMET_APP_CONFIG_SCAN_H

#include "libramet/app_config.h"

/* app_config_scan - text that is no YAML, or not a mapping, is fine here: the check that follows
 * says so */
int app_config_scan(const char *name, const char *text, size_t len, struct strings *ret_env_keys,
	struct ramet_err *err);
/* app_config_env_key - whether these len bytes may name an environment variable */
bool app_config_env_key(const char *key, size_t len);

#endif
