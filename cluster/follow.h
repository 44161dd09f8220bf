/* Output of instances for somebody who follows it, from this node and from peers: what is printed
 * from now on (what was printed before is kept in the rings, see logring.h). Control loop only. */
#ifndef CLUSTER_FOLLOW_H
#define CLUSTER_FOLLOW_H

#include "base/err.h"
#include "base/wire.h"
#include "cluster/logring.h"

#include <stdint.h>

struct bus_request;
struct follow;
struct follows;
struct node;

int follows_create(struct node *node, struct follows **ret_follows, struct ramet_err *err);
void follows_destroy(struct follows *follows); /* NULL is fine */
/* membership changed: a node that came is followed too; what one that went had asked for ends */
void follows_node_up(struct follows *follows, uint32_t node);
void follows_node_down(struct follows *follows, uint32_t node);

/* what node `node` printed; chunk is valid during the call */
typedef void follow_chunk_fn(void *user, uint32_t node, const struct log_chunk *chunk);

/* follow_start - only: that node; 0: all that are alive. fn is never called from within. */
int follow_start(struct follows *follows, const struct log_filter *filter, uint32_t only,
	follow_chunk_fn *fn, void *user, struct follow **ret_follow, struct ramet_err *err);
/* follow_stop - with done: what was printed so far is told first, then done(lost bytes), later,
 * once. Without: at once, and nothing is called any more; also while a done is awaited. NULL is
 * fine. */
void follow_stop(struct follow *follow, void (*done)(void *user, uint64_t lost), void *user);

/* messages of the bus */
void follows_on_follow(
	struct follows *follows, struct bus_request *request, const struct wire_value *body);
void follows_on_unfollow(
	struct follows *follows, struct bus_request *request, const struct wire_value *body);
void follows_on_log(
	struct follows *follows, struct bus_request *request, const struct wire_value *body);

#endif
