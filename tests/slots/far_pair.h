/* A client and a lease's memory on two nodes, in one process and one thread: the client's slots and
 * its end of the stream (libramet/lease_far.h), the node's end (cluster/lease_stream.h), and the
 * memory with an instance that the test plays. Either end of the stream may be the test's own. With
 * FAR_PIPE the two are joined by a relay and a pipe (cluster/lease_relay.h), unless the node's end
 * is the test's. */
#ifndef TESTS_SLOTS_FAR_PAIR_H
#define TESTS_SLOTS_FAR_PAIR_H

#include "cluster/lease_relay.h"
#include "cluster/lease_stream.h"
#include "libramet/lease_far.h"
#include "tests/slots/fake_segments.h"
#include "tests/slots/lease_memory.h"

#include <stdbool.h>

#ifndef FAR_PIPE
#define FAR_PIPE 0
#endif

struct far_pair {
	struct lease_memory memory; /* keeper and instance of it are used */
	struct slots_client client; /* of other memory: the client's own */
	struct lease_far *far; /* NULL: client_fd is the test's */
	struct lease_stream *stream; /* NULL: node_fd is the test's, or it was ended */
	struct segments segments;
	struct transport *node_transport; /* the client's is in segments */
	struct transport_listener *listener;
	struct lease_relay *relay;
	struct loop *loop;
	int client_fd, node_fd; /* -1: there is none, or it is the product's */
	int wake_fd, event_fd, epoll_fds[2];
	uint64_t number; /* of the last call submitted */
	unsigned gone, broken, cancels; /* that the stream told of */
	unsigned lost; /* that the relay told of */
	unsigned cancelled_slot;
};

enum far_sides { FAR_CLIENT = 1, FAR_NODE = 2, FAR_BOTH = 3 };

/* sides: those that are the product's; buffer: bytes of the sockets' buffers, 0: the usual. False,
 * after a message. */
bool far_pair_open(struct far_pair *p, enum far_sides sides, int buffer);
void far_pair_close(struct far_pair *p);
/* far_pair_turn - what has come, on both sides; what lease_far_receive() said, 0 without it */
int far_pair_turn(struct far_pair *p);
/* far_pair_submit - as lease_memory_submit(), of the client */
int far_pair_submit(struct far_pair *p, const void *data, size_t len);
void far_pair_end(struct far_pair *p, bool linger); /* the lease is over */

#endif
