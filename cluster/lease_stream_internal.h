/* A lease's stream, for the lease_stream*.c files only: its record, which two threads share, and
 * what either has the other do. */
#ifndef CLUSTER_LEASE_STREAM_INTERNAL_H
#define CLUSTER_LEASE_STREAM_INTERNAL_H

#include "base/loop.h"
#include "cluster/lease_stream.h"
#include "runtime/slots/slots.h"
#include "runtime/slots/slots_stream.h"
#include "runtime/slots/spin.h"

#include <stdatomic.h>

struct byte_stream;
struct transport;
struct transport_accept;

struct lease_stream {
	struct segments *segments;
	struct loop *control;
	int event_fd, wake_fd;
	/* data side */
	struct byte_stream *bytes; /* that carry it; NULL: not yet, or closed */
	struct transport *transport; /* of a pipe */
	bool spins; /* it has a call, and is polled for the next word of it */
	struct slots_stream stream;
	struct slots_client slots;
	struct spin spin;
	struct loop_watch event_watch;
	struct loop_timer timer;
	uint32_t under_way; /* slots with a call that came whole, a bit each */
	uint32_t sending; /* of those, the answer goes */
	uint64_t number[SLOTS_COUNT];
	bool ending, told;
	/* between the two */
	struct loop_task look_task, end_task, gone_task, cancel_task, free_task;
	_Atomic bool looking, cancelling;
	_Atomic bool heard; /* something has come or gone */
	_Atomic bool stuffed; /* something has gone or come in part: the client is busy */
	_Atomic uint32_t cancelled; /* slots */
	_Atomic uint32_t generation[SLOTS_COUNT]; /* of the call that is to end there */
	bool broken, linger;
	/* control side */
	const struct lease_stream_handler *handler; /* NULL: ended */
	void *user;
};

/* lease_stream.c, on the data thread: what has come for the token; tasks */
void lease_stream_on_socket(void *user, int fd, const char *peer);
int lease_stream_on_pipe(
	void *user, struct transport *transport, struct transport_accept *ret_accept);
void lease_stream_look_there(struct loop_task *task);
void lease_stream_end_there(struct loop_task *task);

/* lease_stream_control.c, on the control loop: tasks */
void lease_stream_gone_there(struct loop_task *task);
void lease_stream_cancel_there(struct loop_task *task);
void lease_stream_free_there(struct loop_task *task);

#endif
