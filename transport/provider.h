/* How to write a transport provider: the ops table, the objects it embeds, and what the core
 * (transport.c, conn.c, segment.c) does for it. Users include transport.h only.
 *
 * The core checks arguments, bounds the operations in flight, queues completions and the ends of
 * connections, and calls the user's handlers, so that those never run inside a call of the user's.
 * Providers move bytes.
 *
 * The contract is written for one-sided verbs (RC queue pairs) first; where sockets could promise
 * more, they don't. */
#ifndef TRANSPORT_PROVIDER_H
#define TRANSPORT_PROVIDER_H

#include "base/list.h"
#include "base/loop.h"
#include "transport/transport.h"

#include <stdatomic.h>

struct segment_table;

/* written on the loop's thread, read by any */
struct transport_spin_counters {
	atomic_uint_fast64_t begun, ended, polls, lingers;
};

/* see transport/spin.c */
struct transport_linger {
	uint64_t begin_ns; /* of what was answered last, or is being waited for */
	uint64_t moment_ns; /* who asks before that, asks soon */
	uint64_t until_ns; /* 0: the loop may sleep */
	unsigned credit; /* 0: it is not worth it */
};

/* One operation. The provider copies it; it is complete when it is given back to
 * transport_complete(). */
struct transport_request {
	enum transport_op op;
	uint32_t len;
	uint32_t imm;
	uint64_t cookie;
	struct segment_ref ref; /* of the peer; zeros for a send and for a bare doorbell */
	struct transport_segment *local; /* where addr lies, or NULL */
	unsigned char *addr;
};

/*
 * Every slot is called on the transport's loop thread and must not block. Unless said otherwise a
 * slot calls no handler. Objects are embedded: the provider allocates its own struct, whose first
 * member is the base, and fills in only what a slot's comment names; the core fills in the base
 * after the slot has returned.
 */
struct transport_ops {
	const char *name;

	/* answers come sooner than a sleeper wakes up, and poll() is cheap: see
	 * transport_spin_begin() */
	bool spins;

	/*
	 * open - make a transport: find the device, allocate, join event descriptors to the loop.
	 * options hold no zeros any more. table is for those who check in software, and the core's.
	 * The core fills in *ret_transport.
	 */
	int (*open)(struct loop *loop, const struct transport_options *options,
		struct segment_table *table, struct transport **ret_transport,
		struct ramet_err *err);

	/* device - its name; NULL: the provider has none */
	const char *(*device)(const struct transport *t);

	/* close - free the transport; its connections, listeners and segments are gone by then */
	void (*close)(struct transport *t);

	/*
	 * flush - hand what was posted to the device. Called at the end of every turn of the loop,
	 * and from transport_poll(), never from within a handler: it may call those marked H.
	 * sleeps: the loop may sleep now. Only then a provider whose completions come by events
	 * arms them, and polls once more; until it has, it asks to be called again
	 * (transport_kick()).
	 */
	void (*flush)(struct transport *t, bool sleeps);

	/* poll - take in what has arrived, without sleeping: for spinners. May call handlers by the
	 * functions below. */
	void (*poll)(struct transport *t);

	/*
	 * tick - time passes: called every transport.tick_ns while there are connections or
	 * strangers, to send heartbeats, and to end who is dead by the rule of pulse.h, even if the
	 * device would wait longer (a queue pair is moved to ERR by us). May call handlers.
	 */
	void (*tick)(struct transport *t, uint64_t now);

	/* listen - bind; writes the address bound to addr of *ret_listener. on_accept goes through
	 * transport_ask(). */
	int (*listen)(struct transport *t, const char *addr,
		struct transport_listener **ret_listener, struct ramet_err *err);
	void (*listener_close)(
		struct transport_listener *listener); /* frees it; its connections live on */

	/*
	 * connect - begin; the outcome, also an immediate one, comes later by
	 * transport_conn_opened() or transport_conn_ended(), never from within (the base is not
	 * filled in yet; flush is called soon after). token is copied. Fails only for what the
	 * caller did wrong, or for memory.
	 */
	int (*connect)(struct transport_domain *domain, const char *addr, const void *token,
		size_t token_len, struct transport_conn **ret_conn, struct ramet_err *err);

	/*
	 * conn_close - orderly end: let what is in flight complete, at most for peer_timeout_ms,
	 * tell the peer, then transport_conn_ended(). No post comes any more. The connection may
	 * not have been opened yet.
	 */
	void (*conn_close)(struct transport_conn *conn);

	/* conn_abort - end now: everything in flight is completed with ECLOSED and
	 * transport_conn_ended() called within. */
	void (*conn_abort)(struct transport_conn *conn);

	/* conn_free - after on_closed */
	void (*conn_free)(struct transport_conn *conn);

	/*
	 * post - start an operation on an open connection with room for it (inflight ≤ depth is the
	 * core's care). Never blocks, never calls a handler; may complete it within. Data of a send
	 * is copied before it returns; other local memory is left alone by its owner until
	 * completion, and lies in request->local (verbs: its lkey). Returns 0, or RAMET_EAGAIN when
	 * the device's queue is full, or RAMET_ENOMEM. After an error that the device answers by
	 * flushing its queue, the provider reconnects and posts again what was innocent; meanwhile
	 * it returns RAMET_EAGAIN. If it cannot reconnect, the connection ends with RAMET_EPEER.
	 */
	int (*post)(struct transport_conn *conn, const struct transport_request *request);

	/*
	 * segment_add - make base.addr, base.len reachable under base.flags for the peers of
	 * base.domain; sets id and key. For LOCAL ones: register it for our own operations, no peer
	 * may reach it. The base is filled in already.
	 */
	int (*segment_add)(struct transport_segment *segment, struct ramet_err *err);

	/*
	 * segment_remove - from when it returns, requests of peers fail with EREVOKED (verbs: told
	 * by a control message, deregistered after the readers acknowledge). Calls
	 * transport_segment_unreachable(), within or later, when no peer's operation touches the
	 * memory any more; within, when there is no connection left. Our own operations on it may
	 * still be in flight.
	 */
	void (*segment_remove)(struct transport_segment *segment);

	/* segment_release - nobody touches it any more: undo segment_add. NULL: nothing to undo. */
	void (*segment_release)(struct transport_segment *segment);
};

/* the providers that were built in; transport.c searches this table */
extern const struct transport_ops transport_mem;
extern const struct transport_ops transport_tcp;
extern const struct transport_ops transport_verbs; /* where libibverbs and librdmacm were found */

struct transport {
	const struct transport_ops *ops;
	struct loop *loop;
	struct transport_options options;
	struct segment_table *table; /* what peers reach, for providers that check in software */
	struct list conns; /* struct transport_conn.link; all until they are freed */
	struct list listeners, domains, segments;
	struct list ended; /* struct transport_conn.end_link */
	struct list drained; /* struct transport_segment.link */
	uint64_t tick_ns; /* interval of tick(); see transport_tick_faster() */
	uint64_t stood_ns; /* for a tick(): how long our loop stood still before it, not counting
			      what is usual */
	unsigned strangers; /* kept by the provider: half-open connections that need tick() */
	struct transport_completion *done; /* waiting for their handlers: a ring with room for all
					      that may be in flight */
	size_t done_cap, done_head, done_count, done_reserved;
	struct loop_idle idle;
	struct loop_timer kick, ticker;
	bool may_spin;
	unsigned spinners; /* transport_spin_begin() without an end */
	unsigned given_up; /* of those, for whom nothing came in time */
	uint64_t spin_until_ns; /* 0: the loop may sleep */
	struct transport_linger linger;
	struct transport_spin_counters spins;
	unsigned handlers; /* how many of the user's handlers we are in */
	bool closing;
};

struct transport_domain {
	struct transport *transport;
	uint64_t id; /* unique in this process */
	unsigned refs;
	struct list link;
};

struct transport_segment {
	struct transport_domain *domain;
	unsigned char *addr;
	size_t len;
	unsigned flags;
	uint64_t id, key; /* provider's */
	void *provider; /* provider's */
	unsigned users; /* operations of ours in flight on it */
	bool removed, unreachable;
	void (*on_drained)(void *user);
	void *user;
	struct list link;
};

struct transport_listener {
	struct transport *transport;
	char addr[TRANSPORT_ADDR_MAX];
	int (*on_accept)(void *user, const void *token, size_t token_len, const char *peer,
		struct transport_accept *ret);
	void *user;
	struct list link;
	bool streams; /* it can give sockets away */
};

enum transport_conn_state { CONN_CONNECTING, CONN_OPEN, CONN_CLOSING, CONN_ENDED };

struct transport_conn {
	struct transport *transport;
	struct transport_domain *domain;
	const struct transport_handler *handler;
	void *user;
	char peer[TRANSPORT_ADDR_MAX];
	enum transport_conn_state state;
	unsigned depth; /* set by transport_conn_opened() */
	unsigned inflight; /* posted, not yet told */
	unsigned pending; /* posted, not yet given to transport_complete() */
	struct ramet_err end;
	struct list link, end_link;
};

/* What providers call. On the loop's thread; those marked H call handlers at once, hence never from
 * a slot that must not. */

/* transport_ask - H: on_accept; 0 and *ret valid, or negative: refuse with RAMET_EPERM */
int transport_ask(struct transport_listener *listener, const void *token, size_t token_len,
	const char *peer, struct transport_accept *ret);
/* transport_accept_failed - H: what transport_ask() has let in becomes no connection */
void transport_accept_failed(struct transport *t, const struct transport_accept *accept);
/* transport_conn_init - fills in the base of a connection that was accepted; state CONNECTING */
void transport_conn_init(
	struct transport_conn *conn, const struct transport_accept *accept, const char *peer);
/* transport_conn_opened - H: on_connected. Reserves room for depth completions: RAMET_ENOMEM, and
 * no handler, if that fails. */
int transport_conn_opened(struct transport_conn *conn, unsigned depth);
/* transport_conn_ended - nothing more comes of this connection: every request was completed. Copies
 * err; NULL: no error. The core tells on_closed later and then calls conn_free. */
void transport_conn_ended(struct transport_conn *conn, const struct ramet_err *err);
/* transport_conn_failed - the same, by an error whose text names the peer first */
void transport_conn_failed(struct transport_conn *conn, int code, const char *fmt, va_list ap)
	PRINTF_LIKE(3, 0);
void transport_complete(
	struct transport_conn *conn, const struct transport_request *request, int status);
void transport_segment_unreachable(struct transport_segment *segment);
void transport_doorbell(struct transport_conn *conn, uint32_t imm); /* H */
void transport_message(struct transport_conn *conn, const void *data, size_t len); /* H */
/* transport_dispatch - H: at the end of an event: tells what was completed, ended and drained */
unsigned transport_dispatch(struct transport *t);
/* transport_kick - asks for a flush and a dispatch soon, from the loop */
void transport_kick(struct transport *t);
/* transport_tick_faster - the ticker runs, and at least every interval_ns */
void transport_tick_faster(struct transport *t, uint64_t interval_ns);

#endif
