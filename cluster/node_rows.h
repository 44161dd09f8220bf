/* Rows of `list` (client_proto.h): what this node says of itself and what it knows of the cluster.
 */
#ifndef CLUSTER_NODE_ROWS_H
#define CLUSTER_NODE_ROWS_H

#include "base/err.h"
#include "base/wire.h"

#include <stdint.h>
#include <sys/types.h>

struct node;

enum rows_kind { ROWS_PS, ROWS_NODES, ROWS_FUNCTIONS, ROWS_SEEDS, ROWS_VERSIONS };
int rows_kind_from_name(const char *name, enum rows_kind *ret_kind);
const char *rows_kind_name(enum rows_kind kind);

/* Each appends maps to b and counts them, at most CLIENT_MAX_ROWS in all; uid 0 sees all, others
 * their own. */
void rows_pack(struct node *node, enum rows_kind kind, uid_t uid, struct buf *b,
	uint32_t *io_count); /* ps, seeds */
void rows_nodes(struct node *node, uint32_t only, struct buf *b, uint32_t *io_count);

/* what functions are and were, as this node knows it */
void rows_versions(struct node *node, uid_t uid, struct buf *b, uint32_t *io_count);

/* Counters of functions, summed over nodes. A node tells its own as rows of {name, uid, instances,
 * calls, failed, warm, local_fork, remote_fork, cold}. */
struct rows_totals;
int rows_totals_create(struct rows_totals **ret_totals, struct ramet_err *err);
void rows_totals_destroy(struct rows_totals *totals); /* NULL is fine */
void rows_totals_pack_own(struct node *node, struct buf *b, uint32_t *io_count);
int rows_totals_add(
	struct rows_totals *totals, const struct wire_value *answer); /* {count, rows} of a peer */
void rows_totals_add_own(struct rows_totals *totals, struct node *node);
void rows_functions(struct node *node, uid_t uid, const struct rows_totals *totals, struct buf *b,
	uint32_t *io_count);

#endif
