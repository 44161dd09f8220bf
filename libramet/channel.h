/* The path that calls take. A provider carries calls and their results; what else a client asks for
 * goes over the connection (conn.h). The socket provider sends calls over the connection too. */
#ifndef LIBRAMET_CHANNEL_H
#define LIBRAMET_CHANNEL_H

#include "base/err.h"
#include "base/wire.h"
#include "libramet/conn.h"
#include "ramet/ramet.h"

#include <stddef.h>
#include <stdint.h>

struct channel;
struct channel_call;

/* What a call says, valid during submit(). */
struct channel_request {
	const char *function;
	const void *data;
	size_t len;
	const struct ramet_call_options *options; /* whole: as large as ours */
};

/* What becomes of a call. Called with the handle's lock held, from dispatch() or from within any
 * other slot. */
struct channel_events {
	/* once, before done; id is a string that lives during the call */
	void (*accepted)(struct channel_call *call, const char *id);
	/* once, last; result (the callee's to free) or NULL, then err says why there is none */
	void (*done)(struct channel_call *call, struct ramet_result *result,
		const struct ramet_err *err);
};

/* A call on its way; embedded in its owner. Between submit() and done() it belongs to the channel.
 */
struct channel_call {
	const struct channel_events *events; /* set by the owner before submit() */
	struct conn_request request; /* the socket provider's */
	char function[65]; /* for answers that do not name it */
};

/*
 * Every slot is called with the handle's lock held and must not block.
 */
struct channel_ops {
	const char *name;
	/*
	 * submit - send a call off. On failure no event comes, and the call is the owner's again.
	 * RAMET_EAGAIN: no room now; room() tells when. RAMET_ELIMIT: data too large.
	 */
	int (*submit)(struct channel *channel, const struct channel_request *request,
		struct channel_call *call, struct ramet_err *err);
	/* room - whether submit() of len bytes would not be RAMET_EAGAIN */
	bool (*room)(const struct channel *channel, size_t len);
	/* cancel - ask for an end; done() still comes, with whatever happens first */
	int (*cancel)(struct channel *channel, struct channel_call *call, struct ramet_err *err);
	/* forget - no event will come any more; the call may go on. The owner may free it at once.
	 */
	void (*forget)(struct channel *channel, struct channel_call *call);
	/* fd - readable when dispatch() has something to do; -1: that comes with the connection's
	 */
	int (*fd)(const struct channel *channel);
	int (*dispatch)(struct channel *channel, struct ramet_err *err);
	/* destroy - calls that are left get done() with RAMET_ECLOSED before. NULL is fine. */
	void (*destroy)(struct channel *channel);
};

struct channel {
	const struct channel_ops *ops;
};

/* channel_socket_create - calls as messages over the connection, which must outlive the channel */
int channel_socket_create(struct conn *conn, struct channel **ret_channel, struct ramet_err *err);

#endif
