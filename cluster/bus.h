/* The control plane between nodes: requests with answers, and notices, over ZeroMQ. One ROUTER
 * bound at our address, one DEALER for each peer; requests leave by the peer's DEALER, answers come
 * back on it. Control loop only. What is said is in cluster/bus_proto.h. Who is alive is not
 * decided here but in cluster/members.h. */
#ifndef CLUSTER_BUS_H
#define CLUSTER_BUS_H

#include "base/err.h"
#include "base/loop.h"
#include "base/wire.h"

#include <stdbool.h>
#include <stdint.h>

struct bus;
struct bus_request; /* a peer's request that is still to be answered */

/* One entry of the handler table. body: the message's map, valid during the call; fields are
 * checked with wire_get_*. A request must be answered exactly once, at once or later, with
 * bus_reply() or bus_reply_err(); for a notice `request` is answered likewise with no effect, so
 * that a handler need not tell them apart. */
struct bus_handler {
	const char *type;
	void (*fn)(void *user, struct bus_request *request, const struct wire_value *body);
};

struct bus_options {
	struct loop *loop;
	uint32_t node; /* ours */
	const char *listen; /* "host:port"; port 0: the kernel chooses */
	unsigned silence_ms; /* a connection on which nothing comes for so long is lost; 0: 6400 */
	const struct bus_handler *handlers;
	unsigned nhandlers;
	void *user; /* of the handlers and hooks */
	/* a message of a known peer arrived, before it is dispatched; load: the piggybacked map, or
	 * NULL */
	void (*on_heard)(void *user, uint32_t node, const struct wire_value *load);
	/* the connection to a peer was made (say hello), or was lost: everything in flight to it
	 * has failed by then */
	void (*on_link)(void *user, uint32_t node, bool up);
	/* pack one value (a map) that travels with every reply and notice; NULL: none */
	void (*pack_load)(void *user, struct buf *b);
};

int bus_create(const struct bus_options *options, struct bus **ret_bus, struct ramet_err *err);
void bus_destroy(
	struct bus *bus); /* requests in flight are answered with ECLOSED first; NULL is fine */
const char *bus_addr(const struct bus *bus); /* the address bound, "host:port" */
/* bus_add_peer - connects (and reconnects for ever) to a node; messages of nodes never added are
 * dropped */
int bus_add_peer(struct bus *bus, uint32_t node, const char *addr, struct ramet_err *err);
/* bus_peer_down - fails everything in flight to that node with EPEER (called by members when it
 * died) */
void bus_peer_down(struct bus *bus, uint32_t node);

/* The answer to a request: error NULL and body the answer's map, or error and body NULL. Both are
 * valid during the call. Called exactly once for each bus_call() that succeeded, never from within
 * bus_call(). */
typedef void bus_answer_fn(
	void *user, const struct wire_value *body, const struct ramet_err *error);

/* bus_call - send a request. body: one encoded map, whose memory is taken over (body is empty
 * afterwards, also on failure); NULL for an empty map. timeout_ns: from now, 0: none (it still ends
 * when the peer dies). RAMET_EPEER: not connected, or too much is waiting for it; RAMET_ENOTFOUND:
 * no such node; RAMET_EAGAIN: too many requests are in flight. */
int bus_call(struct bus *bus, uint32_t node, const char *type, struct buf *body,
	uint64_t timeout_ns, bus_answer_fn *fn, void *user, uint64_t *ret_id,
	struct ramet_err *err);
/* Before the answer there may be parts of it, in the order in which they were sent: for requests
 * whose asker wants them. bus_want_parts - of a request that was just made; fn has the user of
 * bus_call(). */
typedef void bus_part_fn(void *user, const struct wire_value *body);
void bus_want_parts(struct bus *bus, uint64_t id, bus_part_fn *fn);
void bus_forget(struct bus *bus,
	uint64_t id); /* the answer is not wanted any more: fn will not be called */
/* bus_notify - a message without an answer; lost silently if the peer is not there */
void bus_notify(struct bus *bus, uint32_t node, const char *type, struct buf *body);

uint32_t bus_request_node(const struct bus_request *request); /* who asks */
/* bus_part - a part of the answer, which is still due; takes body's memory. One that cannot be sent
 * makes the answer an error (RAMET_EIO) */
void bus_part(struct bus_request *request, struct buf *body);
void bus_reply(struct bus_request *request,
	struct buf *body); /* takes body's memory; NULL: an empty map */
void bus_reply_err(struct bus_request *request, const struct ramet_err *error);

#endif
