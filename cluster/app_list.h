/* Lists of short texts in a version: modules, directories, names. Packing, and parsing with the
 * checks that a client's or peer's word needs. */
#ifndef CLUSTER_APP_LIST_H
#define CLUSTER_APP_LIST_H

#include "base/err.h"
#include "base/wire.h"

#include <stdint.h>

struct app_list {
	char **v; /* count of them, then NULL; NULL while there is none */
	uint32_t count;
};
void app_list_fini(struct app_list *list);
void app_list_pack(const struct app_list *list, const char *key, struct buf *b);

struct app_list_rule {
	const char *key;
	uint32_t max; /* items */
	int (*check)(const char *text, struct ramet_err *err); /* of each */
};
/* app_list_parse - the list of that key, empty where it is missing. RAMET_ELIMIT: too many. */
int app_list_parse(const struct wire_value *map, const struct app_list_rule *rule,
	struct app_list *ret_list, struct ramet_err *err);

/* What may stand in them: RAMET_EINVAL and why not. */
int app_check_module(const char *text, struct ramet_err *err); /* "package.module" */
int app_check_requirement(const char *text, struct ramet_err *err); /* a line of pip's */
int app_check_secret(const char *text, struct ramet_err *err); /* a secret's name */
int app_check_path(const char *text, struct ramet_err *err); /* of sys.path */
int app_check_data(const char *text, struct ramet_err *err); /* a node's, to be shown */

#endif
