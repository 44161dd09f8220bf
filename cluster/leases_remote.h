/* Leases of clients on other nodes: a peer asks for one on behalf of its client, whose calls then
 * come over a stream (lease_stream.h). The messages, on the bus:
 *
 *	lease.take {uid, function, version, verbs: whether the asker can}
 *	→ {lease, transport, addr, token: bin 32, instance, pid, deadline_ms, output, idempotent,
 *	   once}; or error EAGAIN: no instance is idle, or another version is current here
 *	lease.close {lease}: notice, the client returns it
 *
 * The asking node's client learns of the end by the stream. Control loop only. */
#ifndef CLUSTER_LEASES_REMOTE_H
#define CLUSTER_LEASES_REMOTE_H

#include "base/err.h"
#include "base/wire.h"

#include <stdint.h>

struct bus_request;
struct leases_remote;
struct node;

int leases_remote_create(struct node *node, struct leases_remote **ret, struct ramet_err *err);
/* NULL is fine; before calls and segments */
void leases_remote_destroy(struct leases_remote *remote);
void leases_remote_on_take(
	struct leases_remote *remote, struct bus_request *request, const struct wire_value *body);
void leases_remote_on_close(
	struct leases_remote *remote, struct bus_request *request, const struct wire_value *body);
/* a node is dead for us: its clients' leases end */
void leases_remote_node_down(struct leases_remote *remote, uint32_t node);

#endif
