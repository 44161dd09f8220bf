/* Between a client here and the stream of its lease on another node, where that is reached by RDMA:
 * only daemons have such connections, so bytes of the client's socket go into a pipe
 * (transport/pipe.h) and back, on the data thread. What they say is not looked at: who reads them
 * is the client's library, and the other node's lease_stream.h. All calls and callbacks are on the
 * control loop. */
#ifndef CLUSTER_LEASE_RELAY_H
#define CLUSTER_LEASE_RELAY_H

#include "base/err.h"
#include "base/loop.h"
#include "cluster/segments.h"

struct lease_relay;

struct lease_relay_handler {
	/* once: fd: the client's end of the socket, the callee's; -1: err tells why */
	void (*on_opened)(void *user, int fd, const struct ramet_err *err);
	/* at most once, after that: the pipe broke (who reads the socket sees an end) */
	void (*on_lost)(void *user, const struct ramet_err *err);
};

/* lease_relay_open - over the node's transport `provider` ("verbs"); the handler's functions come
 * later, until lease_relay_end(). RAMET_ENOTSUP: the node has no such transport. */
int lease_relay_open(struct segments *segments, struct loop *control, const char *provider,
	const char *addr, const void *token, size_t token_len,
	const struct lease_relay_handler *handler, void *user, struct lease_relay **ret_relay,
	struct ramet_err *err);
/* lease_relay_end - both sides see an end. The handle ends now; NULL is fine. */
void lease_relay_end(struct lease_relay *relay);

#endif
