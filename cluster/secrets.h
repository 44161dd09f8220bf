/* Secrets: values that tenants keep in their nodes for functions that name them (ramet.yaml:
 * secrets). In locked memory only, the same on every node of the cluster: each change goes to all
 * peers, and nodes that meet exchange everything; the newer of two wins, by (generation, node). No
 * value is ever logged, listed or answered to a client. Control loop only. */
#ifndef CLUSTER_SECRETS_H
#define CLUSTER_SECRETS_H

#include "base/err.h"
#include "base/list.h"
#include "base/wire.h"
#include "cluster/app_version.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define SECRETS_MAX 8192 /* of all tenants, removed ones included */
#define SECRETS_MAX_OF_USER 1024

struct secrets;

struct secret {
	struct list link;
	uid_t uid;
	char app[CLIENT_NAME_MAX + 1]; /* only for it; "": for all of the tenant's */
	char name[CLIENT_NAME_MAX + 1];
	uint64_t generation, time_ms; /* CLOCK_REALTIME of the change */
	uint32_t node; /* that wrote it */
	void *value; /* NULL: removed (kept, so that the removal wins over older news) */
	size_t len;
};

/* a secret was set or removed: who was told the old value is to be told the new one */
typedef void secrets_changed_fn(void *user, const struct secret *secret);

int secrets_create(uint32_t node, secrets_changed_fn *changed, void *user,
	struct secrets **ret_secrets, struct ramet_err *err);
void secrets_destroy(struct secrets *secrets); /* wipes all; NULL is fine */

struct secrets_change {
	uid_t uid;
	const char *app, *name;
	const void *value; /* NULL: remove it */
	size_t len;
};
/* secrets_change - here; ret_news: the message for the peers, to be wiped (secrets_wipe).
 * RAMET_ENOTFOUND: nothing is there to be removed; RAMET_ELIMIT. */
int secrets_change(struct secrets *secrets, const struct secrets_change *change,
	struct buf *ret_news, struct ramet_err *err);
/* secrets_pack - everything, as such a message; secrets_merge - take in a peer's */
int secrets_pack(const struct secrets *secrets, struct buf *ret_news, struct ramet_err *err);
int secrets_merge(struct secrets *secrets, const struct wire_value *news, struct ramet_err *err);
void secrets_wipe(struct buf *b); /* and buf_fini() it */

/* secrets_find - what a function of that app gets by a name: the app's own, else the tenant's;
 * NULL: it is not set */
const struct secret *secrets_find(
	const struct secrets *secrets, uid_t uid, const char *app, const char *name);
/* secrets_missing - the first name of the app's that is not set; NULL: all are */
const char *secrets_missing(const struct secrets *secrets, const struct app_version *app);
/* walk; removed ones are left out; NULL: the first, and at the end */
const struct secret *secrets_next(const struct secrets *secrets, const struct secret *after);

uint64_t secrets_generation(const struct secrets *secrets); /* changes with each change */
uint64_t secrets_digest(const struct secrets *secrets); /* equal on nodes that have the same */

#endif
