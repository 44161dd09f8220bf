/* ZeroMQ sockets as the bus uses them: options, messages of two parts, and the edge-triggered
 * descriptor tamed. */
#ifndef CLUSTER_BUS_SOCKET_H
#define CLUSTER_BUS_SOCKET_H

#include "base/err.h"
#include "base/loop.h"
#include "base/wire.h"

#include <stdbool.h>
#include <zmq.h>

/* A socket joined to a loop. ZMQ_FD is edge-triggered, and any call on a socket may swallow the
 * edge: so whoever has used it sets `check`, and on_ready is called from the descriptor's watch or
 * from bus_socket_checked(). */
struct bus_socket {
	void *zmq;
	struct loop_watch watch;
	bool check;
	void (*on_ready)(struct bus_socket *socket); /* receive until nothing is left */
};

/* A received message; `id` is empty but on a ROUTER. */
struct bus_message {
	zmq_msg_t id, header, body;
};

/* silence_ms: connections on which nothing comes for so long, no heartbeat either, are lost */
int bus_socket_bind(void *ctx, const char *addr, unsigned silence_ms, struct bus_socket *socket,
	char *ret_addr, size_t cap, struct ramet_err *err);
/* connects for ever; monitor tells of connections made and lost; name is unique in ctx */
int bus_socket_connect(void *ctx, const char *addr, unsigned silence_ms, const char *name,
	struct bus_socket *socket, struct bus_socket *monitor, struct ramet_err *err);
int bus_socket_watch(struct bus_socket *socket, struct loop *loop,
	void (*on_ready)(struct bus_socket *), struct ramet_err *err);
void bus_socket_close(struct bus_socket *socket); /* zeroed: nothing happens */

/* bus_socket_recv - one message; false when there is none. Messages of another number of parts come
 * back with `bad`. */
bool bus_socket_recv(
	struct bus_socket *socket, bool router, struct bus_message *msg, bool *ret_bad);
void bus_message_fini(struct bus_message *msg);
/* bus_socket_send - takes both buffers' memory, also on failure. id NULL but on a ROUTER. 0 or
 * RAMET_EPEER, RAMET_ENOMEM. */
int bus_socket_send(
	struct bus_socket *socket, const zmq_msg_t *id, struct buf *header, struct buf *body);
/* bus_monitor_recv - 1: a connection was made, -1: lost, 0: nothing (more) to tell */
int bus_monitor_recv(struct bus_socket *monitor);

#endif
