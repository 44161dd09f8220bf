/* One-sided reads and writes between nodes, and who may reach which memory: what users of the
 * transport see. Providers (`mem`, `tcp`, `verbs`) behave alike: same errors, same revocation, same
 * death of a peer; see tests/conformance. How to write a provider is in provider.h.
 *
 * Threads: a transport belongs to one loop. Every call here is made on that loop's thread (or
 * before the loop runs), and every callback comes on it. Peers may live in other threads and
 * processes. Nothing here blocks.
 *
 * Callbacks: they come from the loop, or from transport_poll(); never from within a post, connect,
 * close or remove. From a callback every function may be called but transport_poll() (does nothing)
 * and transport_close() (forbidden). */
#ifndef TRANSPORT_TRANSPORT_H
#define TRANSPORT_TRANSPORT_H

#include "base/cleanup.h"
#include "base/err.h"
#include "base/loop.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TRANSPORT_TOKEN_MAX 32 /* bytes of a one-time token; fits a verbs connection request */
#define TRANSPORT_SEND_MAX 4096 /* bytes of a small message */
#define TRANSPORT_OP_MAX (1u << 30) /* bytes of one read or write */
#define TRANSPORT_ADDR_MAX 64 /* "[v6 address]:port", "mem:name", with its NUL */
#define TRANSPORT_DEPTH_DEFAULT 1024 /* operations in flight on a connection */
#define TRANSPORT_DEPTH_MAX 16384
#define TRANSPORT_DEVICE_MAX 64 /* bytes of an RDMA device's name, with its NUL */
#define TRANSPORT_TIMEOUT_MIN_MS 50 /* bounds of peer_timeout_ms */
#define TRANSPORT_TIMEOUT_MAX_MS 3600000

struct transport;
struct transport_domain;
struct transport_segment;
struct transport_listener;
struct transport_conn;

/* Zero means the default. Depth and peer_timeout_ms are told to the peer; the smaller of the two
 * sides' depths holds. */
struct transport_options {
	unsigned queue_depth; /* operations in flight on a connection, 1 to TRANSPORT_DEPTH_MAX;
				 default 1024 */
	unsigned peer_timeout_ms; /* a peer whose machine is not heard for so long is dead (50 to
				     3,600,000; default 800); one whose machine acknowledges,
				     but which says nothing itself, after three times as long */
	unsigned handshake_ms; /* connecting, and a stranger's first message, take at most this
				  long; default 2000 */
	/* verbs only; 0 and "" choose */
	char device[TRANSPORT_DEVICE_MAX]; /* "mlx5_0"; default: the first with an active port */
	unsigned port; /* from 1 */
	unsigned gid_index; /* default: that of the address */
	unsigned mtu; /* 256, 512, … 4096 bytes; at most the path's, which is the default */
	unsigned service_level; /* 0 to 15; 0: the path's */
	unsigned traffic_class; /* 0 to 255 */
};

/* transport_open - provider_name: "mem", "tcp", "verbs"; RAMET_ENOTSUP when it is unknown, not
 * built in, or finds no device. options may be NULL. */
int transport_open(const char *provider_name, struct loop *loop,
	const struct transport_options *options, struct transport **ret_transport,
	struct ramet_err *err);
/* transport_close - ends everything at once, before the loop is destroyed: operations in flight
 * complete with ECLOSED, then on_closed and on_drained are called, all from within; domains go too.
 * Peers see an orderly close. NULL is fine. */
void transport_close(struct transport *t);
DEFINE_CLEANUP(struct transport, transport_close)
#define auto_transport AUTO(transport_close)
/* transport_device - the device that it uses, for options of another one; "" where there is none */
const char *transport_device(const struct transport *t);
/* transport_poll - for those who spin rather than sleep: hands posted work to the wire, takes in
 * what arrived, delivers completions to on_complete (and the other callbacks). Callable right after
 * a post. Returns how many completed. It does not replace the loop: connecting, heartbeats and
 * deaths need that to turn now and then. */
unsigned transport_poll(struct transport *t);

/* transport_spin_begin - the caller waits for an answer that may come sooner than a sleeper wakes
 * up: until transport_spin_end() the loop polls instead of sleeping, between its other work, where
 * the provider gains by that and there is another CPU for those who would run on this one. Nothing
 * comes for TRANSPORT_SPIN_NS: it sleeps after all, until somebody else begins. Begins may be
 * nested: each has its end. After
 * the last one the loop stays awake for a few times as long as that answer took, at most
 * TRANSPORT_SPIN_NS, if most of those before were followed by the next within such a time. */
#define TRANSPORT_SPIN_NS 1000000ull
void transport_spin_begin(struct transport *t);
void transport_spin_end(struct transport *t);
/* transport_spin_set - the one or the other, where *io_spins, the caller's, was not so already */
void transport_spin_set(struct transport *t, bool *io_spins, bool spins);
/* transport_spins - how often the loop has begun and ended to poll instead of sleeping, how often
 * it did, and how often it stayed awake after the end; from any thread */
struct transport_spins {
	uint64_t begun, ended, polls, lingers;
};
void transport_spins(const struct transport *t, struct transport_spins *ret);

/* Domains: the protection domain of a tenant. Connections and segments belong to one; a peer
 * reaches only segments of the domain its connection was accepted into. */
int transport_domain_create(
	struct transport *t, struct transport_domain **ret_domain, struct ramet_err *err);
/* transport_domain_destroy - drops the creator's hold; it goes when its last connection and segment
 * have ended */
void transport_domain_destroy(struct transport_domain *domain);

/* Segments: memory that peers may read (the default), may write too, or may not reach at all. The
 * memory stays the caller's; it must stay mapped until on_drained. A memfd with holes should not be
 * one: some providers pin it. */
enum transport_segment_flags {
	TRANSPORT_SEGMENT_WRITE = 1, /* peers may also write */
	TRANSPORT_SEGMENT_LOCAL =
		2, /* no peer may reach it: a staging buffer for our own operations */
};
/* How a peer names bytes in a segment. id and key come from transport_segment_ref() at its owner
 * and travel over the control plane; they are the provider's, and mean nothing else. The key is
 * random and not a secret between daemons. */
struct segment_ref {
	uint64_t id;
	uint64_t key;
	uint64_t offset; /* bytes from the segment's start */
};
int transport_segment_add(struct transport_domain *domain, void *addr, size_t len, unsigned flags,
	struct transport_segment **ret_segment, struct ramet_err *err);
struct segment_ref transport_segment_ref(const struct transport_segment *segment, uint64_t offset);
/* transport_segment_remove - revokes: a peer's operation that arrives from now on fails with
 * EREVOKED, one that is under way either completes with the bytes as they were or fails with
 * EREVOKED; nothing else of any peer is harmed. Our own operations on it go on. on_drained (may be
 * NULL) is called once, later, from the loop, when neither peers nor our own operations touch the
 * memory any more: then, not before, it may be reused or unmapped. The handle ends now. */
void transport_segment_remove(
	struct transport_segment *segment, void (*on_drained)(void *user), void *user);

enum transport_op { TRANSPORT_READ, TRANSPORT_WRITE, TRANSPORT_WRITE_IMM, TRANSPORT_SEND };

/* The end of one operation. After a failure the destination of a read holds anything, and a write
 * may have happened in part. status is 0, or
 * - RAMET_EREVOKED: the segment was removed;
 * - RAMET_EACCESS: wrong key or domain, out of bounds, not writable. The connection survives (a
 *   provider whose hardware drops it connects again by itself, and posts again what was flushed);
 * - RAMET_EPEER: the peer died or cannot be reached;
 * - RAMET_ECLOSED: either side closed the connection;
 * - RAMET_EPROTO: the peer broke the protocol. */
struct transport_completion {
	struct transport_conn *conn;
	uint64_t cookie;
	int status;
	enum transport_op op;
	uint32_t len;
};

/* What a connection tells its owner. All but on_closed may be NULL. */
struct transport_handler {
	/* it can be used: once, and not if connecting failed. On both sides. */
	void (*on_connected)(void *user, struct transport_conn *conn);
	/* exactly once for each operation that was posted with success, in any order */
	void (*on_complete)(void *user, const struct transport_completion *completion);
	/* a peer's write_imm has arrived: its bytes, and those of its earlier writes on this
	 * connection, are visible */
	void (*on_doorbell)(void *user, struct transport_conn *conn, uint32_t imm);
	/* a peer's small message; data is valid during the call */
	void (*on_message)(void *user, struct transport_conn *conn, const void *data, size_t len);
	/* The last call of a connection, exactly once, after all its completions; conn is freed
	 * when it returns. err->code: 0 after our own transport_conn_close(), ECLOSED when the peer
	 * closed, EPEER when it died, could not be reached or did not answer, EPERM when it refused
	 * the token, EVERSION, EPROTO. */
	void (*on_closed)(void *user, struct transport_conn *conn, const struct ramet_err *err);
};

/* Listening. A stranger has handshake_ms to present its token; who sends anything else is dropped,
 * logged once (limited), and disturbs nobody. on_accept decides on each token: 0 and *ret filled
 * in, or a negative code to refuse (the peer is only told EPERM). It must not block, nor close its
 * listener. peer is a text for logs. Tokens are compared by the user, who also uses them up. */
struct transport_accept {
	struct transport_domain *domain;
	const struct transport_handler *handler; /* outlives the connection */
	void *user;
	/* May be NULL. After on_accept either this comes, at once: it became no connection after
	 * all (no memory, or the peer had gone), and nothing follows; or handler->on_closed in the
	 * end, or on_stream. */
	void (*on_failed)(void *user);
	/* Not NULL (then only user is used besides): it is no connection of ours but a bare stream
	 * (stream.h). fd is the callee's: welcome, not blocking. `tcp` only; others refuse. */
	void (*on_stream)(void *user, int fd, const char *peer);
};
/* addr: numeric "host:port" ("10.0.0.1:0", "[::1]:7000"; port 0 lets the kernel choose), or
 * "mem:name" for mem */
int transport_listen(struct transport *t, const char *addr,
	int (*on_accept)(void *user, const void *token, size_t token_len, const char *peer,
		struct transport_accept *ret),
	void *user, struct transport_listener **ret_listener, struct ramet_err *err);
/* the address that was bound, to be given to transport_connect */
const char *transport_listener_addr(const struct transport_listener *listener);
/* its connections live on; NULL is fine */
void transport_listener_close(struct transport_listener *listener);

/* transport_connect - begins to connect; on_connected or on_closed tells. token is copied. */
int transport_connect(struct transport_domain *domain, const char *addr, const void *token,
	size_t token_len, const struct transport_handler *handler, void *user,
	struct transport_conn **ret_conn, struct ramet_err *err);
/* transport_conn_close - orderly: no more posts; what is in flight completes (what has not within
 * peer_timeout_ms fails with ECLOSED), the peer is told, then on_closed. Calling it again, or on
 * one that is ending, does nothing. */
void transport_conn_close(struct transport_conn *conn);
const char *transport_conn_peer(const struct transport_conn *conn); /* a text for logs */
/* how many operations it takes in flight, once connected; how many were posted and not yet told */
unsigned transport_conn_depth(const struct transport_conn *conn);
unsigned transport_conn_inflight(const struct transport_conn *conn);

/* Operations. All return at once: 0, and one completion comes; or an error, and none comes:
 * - RAMET_EAGAIN: the queue is full (or the provider reconnects): post again after a completion;
 * - RAMET_ECLOSED, RAMET_EPEER, RAMET_EPROTO: the connection has ended or is ending;
 * - RAMET_EINVAL: not connected yet, len 0 or too large, or local memory outside its segment;
 * - RAMET_ENOMEM.
 *
 * Local memory lies in the segment `local`, of the connection's domain; where a read puts its bytes
 * that segment is LOCAL or WRITE. It belongs to the transport until the completion. Posts are
 * gathered and leave at the end of the loop's turn or at transport_poll(). Writes and sends take
 * effect in the order they were posted; reads promise no order. */
int transport_read(struct transport_conn *conn, struct segment_ref src,
	struct transport_segment *local, void *dst, size_t len, uint64_t cookie);
int transport_write(struct transport_conn *conn, struct segment_ref dst,
	struct transport_segment *local, const void *src, size_t len, uint64_t cookie);
/* transport_write_imm - a write, then on_doorbell(imm) at the peer. len 0 (src, local unused) rings
 * only: the reference is not looked at. A write that fails does not ring. */
int transport_write_imm(struct transport_conn *conn, struct segment_ref dst,
	struct transport_segment *local, const void *src, size_t len, uint32_t imm,
	uint64_t cookie);
/* transport_send - a small message, 1 to TRANSPORT_SEND_MAX bytes, copied at once (data need not
 * lie in a segment). Its completion says that the peer's transport has it, not that on_message has
 * run. */
int transport_send(struct transport_conn *conn, const void *data, size_t len, uint64_t cookie);

#endif
