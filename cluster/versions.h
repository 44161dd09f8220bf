/* What follows from a change of the registry on this node: versions that nothing points to any more
 * lose their idle instances, their seed and, once the last instance has ended, their files. Control
 * loop only. */
#ifndef CLUSTER_VERSIONS_H
#define CLUSTER_VERSIONS_H

#include "base/err.h"
#include "base/wire.h"
#include "cluster/registry.h"

#include <stdint.h>

struct bus_request;
struct node;
struct versions;

int versions_create(struct node *node, struct versions **ret_versions, struct ramet_err *err);
void versions_destroy(struct versions *versions); /* NULL is fine */

extern const struct registry_handler versions_registry_handler; /* its user is the node */

/* versions_remove - remove a function here; its running calls end. ret_news: for the peers;
 * *io_ended counts instances. */
int versions_remove(struct node *node, struct registry_entry *entry, struct buf *ret_news,
	uint64_t *io_ended, struct ramet_err *err);
/* a peer's news: the answer tells how many instances ended here */
void versions_on_news(
	struct node *node, struct bus_request *request, const struct wire_value *body);
/* versions_check - a peer told something: if its registry differs from ours, and still does a while
 * later, it gets ours */
struct member;
void versions_check(struct node *node, const struct member *member);
/* The same of secrets, which take part in that digest. versions_secret_changed - a
 * secrets_changed_fn whose user is the node: calls that begin from now on get the new value. */
struct secret;
void versions_secret_changed(void *user, const struct secret *secret);
void versions_on_secrets(
	struct node *node, struct bus_request *request, const struct wire_value *body);
/* versions_sync - send everything to a peer */
void versions_sync(struct node *node, uint32_t peer);

#endif
