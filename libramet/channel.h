/* The path that calls take. A provider carries calls and their results; what else a client asks for
 * goes over the connection (conn.h). The socket provider sends calls over the connection too. */
#ifndef LIBRAMET_CHANNEL_H
#define LIBRAMET_CHANNEL_H

#include "base/err.h"
#include "base/list.h"
#include "base/wire.h"
#include "libramet/conn.h"
#include "libramet/message.h"
#include "ramet/ramet.h"
#include "runtime/slots/slots.h"

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
	bool goes_on; /* the caller does not wait for it now */
};

/* What becomes of a call. Called with the handle's lock held, from dispatch() or from within any
 * other slot. */
struct channel_events {
	/* once, before done; id is a string that lives during the call */
	void (*accepted)(struct channel_call *call, const char *id);
	/* what it emits; message is the callee's to free. NULL where no call asks for that. */
	void (*event)(struct channel_call *call, struct message *message);
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
	/* the slots provider's */
	const struct channel_events
		*owner; /* while it goes by the socket: who is told in the end */
	void *function_record;
	struct lease *lease; /* NULL: it went by the socket */
	unsigned slot;
	char id[SLOTS_ID_MAX];
	uint64_t begin_ns;
	uint64_t number; /* of those that went through leases: in the order in which they did */
	struct ramet_call_options options;
	void *copy; /* of its input, where it may have to be sent again, or is held */
	size_t copy_len;
	struct list held; /* until its function's lease is there, or refused */
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
	/* room - whether submit() of it would not be RAMET_EAGAIN */
	bool (*room)(const struct channel *channel, const struct channel_request *request);
	/* cancel - ask for an end; done() still comes, with whatever happens first */
	int (*cancel)(struct channel *channel, struct channel_call *call, struct ramet_err *err);
	/* forget - no event will come any more; the call may go on. The owner may free it at once.
	 */
	void (*forget)(struct channel *channel, struct channel_call *call);
	/* fd - readable when dispatch() has something to do; -1: that comes with the connection's
	 */
	int (*fd)(const struct channel *channel);
	/* watch - what else makes dispatch() have something to do is to be added to these, by the
	 * channel itself. May be NULL. */
	void (*watch)(struct channel *channel, const int epoll_fds[2]);
	int (*dispatch)(struct channel *channel, struct ramet_err *err);
	/*
	 * spin_begin, spin - instead of sleeping at once: what to look at, with the lock held;
	 * whether it is worth it; then look, without the lock, for some microseconds at most; with
	 * the lock again, say that it is over. All NULL where there is nothing to look at.
	 */
	bool (*spin_begin)(struct channel *channel);
	void (*spin)(struct channel *channel);
	void (*spin_end)(struct channel *channel);
	/*
	 * doze_begin, doze - a short sleep on what an answer changes, instead of waiting for fd():
	 * with the lock held; false: the `calls` that are under way are not all to be answered
	 * there, or an answer is there already; then sleep, without the lock, for ns at most; with
	 * the lock again, say that it is over. rouse - ends such a sleep of another
	 * thread. All NULL where there is none.
	 */
	bool (*doze_begin)(struct channel *channel, unsigned calls);
	void (*doze)(struct channel *channel, uint64_t ns);
	void (*doze_end)(struct channel *channel);
	void (*rouse)(struct channel *channel);
	/* sleeps - the caller is about to wait for fd(); false: dispatch() has something to do
	 * already. wakes - after it. Both may be NULL. */
	bool (*sleeps)(struct channel *channel);
	void (*wakes)(struct channel *channel);
	/* patience - milliseconds after which dispatch() has something to do without an event; -1:
	 * never. May be NULL. */
	int (*patience)(const struct channel *channel);
	/* arm - from now on fd() is waited for outside of ramet's own waits, too. May be NULL. */
	void (*arm)(struct channel *channel);
	/* destroy - calls that are left get done() with RAMET_ECLOSED before. NULL is fine. */
	void (*destroy)(struct channel *channel);
};

struct channel {
	const struct channel_ops *ops;
};

/* channel_socket_create - calls as messages over the connection, which must outlive the channel */
int channel_socket_create(struct conn *conn, struct channel **ret_channel, struct ramet_err *err);
/* channel_slots_create - calls through the memory of leases where there are any, else through
 * `socket`, which becomes its own on success */
int channel_slots_create(struct conn *conn, struct channel *socket, struct channel **ret_channel,
	struct ramet_err *err);

#endif
