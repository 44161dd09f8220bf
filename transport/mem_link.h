/* What two `mem` transports in different threads share: nodes (a transport as its peers see it),
 * links (a connection as both ends see it), and the events they post to each other's loops. */
#ifndef TRANSPORT_MEM_LINK_H
#define TRANSPORT_MEM_LINK_H

#include "base/loop.h"
#include "transport/segment_table.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct mem_conn;
struct mem_event;

struct mem_node {
	atomic_uint refs;
	struct segment_table *table;
	atomic_uint_fast64_t stopped_ns; /* when transport_mem_stop() was called, or 0 */
	struct transport *owner; /* owner's thread only; NULL once closed */
	pthread_mutex_t lock;
	struct loop *loop; /* under lock; NULL once closed: nothing can be posted any more */
};

int mem_node_create(struct loop *loop, struct segment_table *table, struct mem_node **ret_node,
	struct ramet_err *err);
struct mem_node *mem_node_get(struct mem_node *node);
void mem_node_put(struct mem_node *node); /* NULL is fine */
void mem_node_close(struct mem_node *node);

/* side 0 connected, side 1 accepted. What a side writes before it posts its first event the other
 * may read after it. */
struct mem_side {
	struct mem_node *node;
	struct mem_conn *conn; /* that side's thread only; NULL before and after */
	uint64_t domain;
	unsigned depth;
	unsigned timeout_ms;
	atomic_bool closed; /* its connection has ended */
};

struct mem_link {
	atomic_uint refs;
	struct mem_side side[2];
};

struct mem_link *mem_link_create(
	struct mem_node *client, struct mem_node *server); /* NULL: out of memory */
struct mem_link *mem_link_get(struct mem_link *link);
void mem_link_put(struct mem_link *link); /* NULL is fine */

enum mem_event_kind {
	MEM_CONNECT, /* to the listener called `name`; data is the token */
	MEM_ACCEPTED,
	MEM_REFUSED, /* status says why */
	MEM_DOORBELL, /* imm; comes back as MEM_ACK */
	MEM_MESSAGE, /* data; comes back as MEM_ACK */
	MEM_ACK, /* the operation `slot` of the receiver is complete */
	MEM_CLOSED, /* the sender's connection has ended */
};

struct mem_event {
	struct loop_task task;
	struct mem_link *link;
	unsigned side; /* the receiver's */
	enum mem_event_kind kind;
	int status;
	uint32_t imm, slot;
	char name[TRANSPORT_ADDR_MAX];
	size_t len;
	unsigned char data[];
};

/* an event for that side of link; NULL: out of memory */
struct mem_event *mem_event_new(struct mem_link *link, unsigned side, enum mem_event_kind kind,
	const void *data, size_t len);
void mem_event_free(struct mem_event *event);
/* mem_event_post - to the receiver's loop; frees the event and returns false if that transport is
 * closed */
bool mem_event_post(struct mem_event *event);
/* runs on the receiver's thread, in mem.c; owns the event */
void mem_event_run(struct mem_event *event);

/* Listeners of this process by address. */
int mem_registry_add(const char *addr, struct mem_node *node, struct ramet_err *err);
void mem_registry_remove(const char *addr);
struct mem_node *mem_registry_find(const char *addr); /* a reference, or NULL */

#endif
