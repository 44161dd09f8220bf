/* A lease as its client has it: an instance of one function whose calls go through shared memory.
 * All with the handle's lock held. */
#ifndef LIBRAMET_LEASE_H
#define LIBRAMET_LEASE_H

#include "base/list.h"
#include "cluster/client_proto.h"
#include "libramet/channel.h"
#include "libramet/conn.h"
#include "libramet/result.h"
#include "runtime/slots/slots.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct lease;

struct lease_events {
	/* it can be used */
	void (*ready)(struct lease *lease);
	/* there may be answers */
	void (*look)(struct lease *lease);
	/* last: it was refused (err), or is over; every call in it has its answer, or is lost (the
	 * connection, err) */
	void (*over)(struct lease *lease, const struct ramet_err *err);
};

struct lease {
	struct list link; /* of its function */
	struct list ready_link; /* of the channel */
	struct conn *conn;
	struct conn_request request;
	const struct lease_events *events;
	void *owner; /* the function's record */
	bool ready, over, returning;
	struct lease_far *far; /* it is on another node; NULL: here */
	bool once; /* each call has an instance of its own */
	struct slots_client slots; /* when ready */
	int wake_fd; /* wakes the instance */
	uint64_t asked_ns;
	int64_t offset_ns; /* the daemon's clock minus ours */
	struct channel_call *calls[SLOTS_COUNT];
	uint32_t forgotten; /* slots whose answers nobody waits for, a bit each: they are under way,
			       too */
	unsigned under_way;
	/* results whose outputs lie in its memory, until they are freed, without the lock */
	struct lease_result {
		struct result_memory base;
		struct lease *lease;
	} results[SLOTS_COUNT];
	unsigned in_place;
	_Atomic uint32_t released; /* slots of those that were freed */
	_Atomic unsigned refs; /* those, and its owner */

	uint64_t id, instance, output;
	uint32_t node, deadline_ms;
	int32_t pid;
	bool idempotent;
	char version[CLIENT_VERSION_MAX + 1];
};

/* lease_ask - client_fd: the eventfd that wakes us; node: where; 0: on our node, or, if nobody is
 * idle there, on the node `near` (0: nowhere else). `over` comes if it is refused */
struct lease_wish {
	const char *function;
	uint32_t node, near;
	int client_fd;
};
int lease_ask(struct conn *conn, const struct lease_wish *wish, const struct lease_events *events,
	void *owner, struct lease **ret_lease, struct ramet_err *err);
/* lease_break - its instance wrote what cannot be: it is to be killed; `over` follows */
void lease_break(struct lease *lease);
/* lease_cancel - the call in a slot is to end: 0, and it still is answered */
int lease_cancel(struct lease *lease, unsigned slot, struct ramet_err *err);
void lease_wake(const struct lease *lease); /* its instance sleeps, and has a call */
/* lease_receive - one on another node: what has come; `over` comes if it has ended */
void lease_receive(struct lease *lease);
bool lease_usable(const struct lease *lease);
/* lease_age - nanoseconds since the call that is under way for longest was begun; 0: there is none
 */
uint64_t lease_age(const struct lease *lease);
void lease_free(struct lease *lease); /* NULL is fine; its memory stays while results lie in it */
/* lease_keep - the answer in a slot stays there until its result is freed; NULL: enough do already
 */
struct result_memory *lease_keep(struct lease *lease, unsigned slot);
void lease_collect(struct lease *lease); /* slots whose results were freed are free again */

#endif
