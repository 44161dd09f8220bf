/* What the files of the `verbs` provider share: verbs.c (ops), verbs_device.c (devices and limits),
 * verbs_cm.c (listening, connecting), verbs_conn.c (a connection's life), verbs_cq.c (completions),
 * verbs_control.c (the control queue pair), verbs_qp.c (queue pairs of lanes), verbs_out.c (our
 * lane: requests), verbs_recover.c (when it fails), verbs_in.c (the peer's lane), verbs_segment.c
 * (registration, revocation).
 *
 * A connection has a control queue pair, made by librdmacm, and up to two lanes: one for our
 * requests, one for the peer's. What kills a lane, an access error first of all, leaves the control
 * queue pair alone; over it the next lane is agreed. H: calls handlers, as in provider.h. */
#ifndef TRANSPORT_VERBS_H
#define TRANSPORT_VERBS_H

#include "base/log.h"
#include "transport/greeting.h"
#include "transport/provider.h"
#include "transport/pulse.h"
#include "transport/verbs_device.h"
#include "transport/verbs_wire.h"

#include <infiniband/verbs.h>
#include <rdma/rdma_cma.h>

#define VERBS_CHUNK_MAX (256u << 10) /* bytes of one work request; also below what devices take */
#define VERBS_WIRE_BYTES \
	(4u << 20) /* handed to the device at once: bounds how long a revocation \
		      waits for readers */
#define VERBS_FLUSH_BYTES \
	(256u << 10) /* then the loop looks at what has come before it hands more to the device: \
			some do the work within the call */
#define VERBS_WRS_MAX 256 /* work requests in a lane's send queue */
#define VERBS_RETRIES 6 /* 7 would be for ever on some devices */
#define VERBS_RNR_RETRIES 7 /* for ever: credits make it rare, and the heartbeat ends it */
#define VERBS_TRIES_MAX 4 /* of an operation that keeps breaking its lane */
#define VERBS_REVOKED_KEPT 64 /* ids that a connection remembers as revoked */

struct verbs_pd {
	struct list link;
	struct verbs_transport *transport;
	uint64_t domain; /* transport_domain.id */
	struct ibv_pd *pd;
	unsigned refs;
};

struct verbs_segment { /* transport_segment.provider */
	struct verbs_pd *pd;
	struct ibv_mr *mr;
	unsigned readers; /* connections that have not acknowledged its end */
};

struct verbs_transport {
	struct transport base;
	struct verbs_device device;
	struct rdma_event_channel *events;
	struct loop_watch events_watch;
	struct ibv_comp_channel *channel; /* of all completion queues */
	struct loop_watch channel_watch;
	struct list pds;
	struct list dirty; /* struct verbs_conn.dirty: to post, to say, to arm, or to end */
	uint64_t bye_deadline_ns; /* transport_close() waits until then for goodbyes to leave */
	struct log_limit drops;
};

struct verbs_cq {
	struct verbs_conn *conn;
	struct ibv_cq *cq;
	bool armed; /* it will raise an event */
};

struct verbs_listener {
	struct transport_listener base;
	struct verbs_transport *transport;
	struct rdma_cm_id *id;
};

enum verbs_wr_kind { VERBS_CONTROL_TX = 1, VERBS_CONTROL_RX, VERBS_OUT, VERBS_IN };

/* a work request's id: what it was, of which lane, and which */
static inline uint64_t verbs_wr_id(enum verbs_wr_kind kind, uint32_t epoch, uint32_t index)
{
	return (uint64_t)kind << 56 | (uint64_t)(epoch & 0xffffff) << 32 | index;
}

/* Sequence numbers run on for ever, modulo 2^32. */
static inline bool verbs_after(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) > 0;
}

/* Memory of a connection for what is copied: control messages, and the sends of both lanes. */
struct verbs_slots {
	unsigned char *memory;
	struct ibv_mr *mr;
	unsigned char *control_tx, *control_rx, *lane_tx, *lane_rx;
};

struct verbs_control {
	uint32_t sent, completed; /* messages of ours */
	uint32_t acked; /* how many of them the peer has taken */
	uint32_t received, told; /* messages of the peer, and how many we told it we have */
	uint32_t bye; /* number of our last message, if bye_sent */
	bool owe_ping, bye_sent;
};

struct verbs_op {
	struct transport_request request;
	unsigned char *copy; /* a send's bytes */
	uint32_t sent; /* bytes handed to the device */
	uint32_t wrs; /* work requests in flight */
	uint32_t message; /* its number, if it has one and its last work request was posted */
	int status; /* < 0: it fails, once nothing of it is in flight */
	bool handed; /* all of it was posted */
	bool finished; /* all of it has succeeded */
	unsigned tries; /* how often it broke the lane */
};

struct verbs_wr { /* one in the send queue */
	uint32_t op;
	uint32_t len;
	bool last;
};

enum verbs_lane_state {
	VERBS_LANE_DOWN,
	VERBS_LANE_ASKED, /* the peer was asked for its end */
	VERBS_LANE_UP,
	VERBS_LANE_DRAINING, /* failed; what was in flight comes back */
};

/* Our lane. Operations end in the order of their posts. */
struct verbs_out {
	enum verbs_lane_state state;
	struct ibv_qp *qp;
	struct verbs_lane_end end;
	bool open_owed;
	struct verbs_op *ops; /* ring: [done, next) were begun, [next, posted) wait */
	uint32_t mask, done, next, posted;
	struct verbs_wr wrs[VERBS_WRS_MAX]; /* ring: [wr_done, wr_posted) */
	uint32_t wr_done, wr_posted, wr_cap;
	size_t bytes; /* in flight */
	uint32_t messages; /* sends and doorbells numbered so far */
	uint32_t messages_done; /* whose work requests have ended */
	uint32_t limit; /* the number up to which the peer has room */
	bool suspected; /* the first work request that failed was of ops[suspect] */
	uint32_t suspect;
	enum ibv_wc_status why;
};

/* The peer's lane. */
struct verbs_in {
	struct ibv_qp *qp;
	struct verbs_message asked; /* waits for the old end to drain, if asked.type is set */
	struct verbs_lane_end end;
	bool ready_owed;
	int verdict;
	uint32_t posted, completed; /* receives of this end */
	uint32_t received, told; /* messages of all ends */
};

/* The ends of segments, as their owner and as their reader. */
struct verbs_revocation {
	struct list link;
	struct transport_segment *segment;
	uint64_t since_ns;
};
struct verbs_revoke {
	struct list queue; /* struct verbs_revocation: first those told, then those to tell */
	uint32_t told, acked; /* of ours, by the peer */
	uint32_t heard; /* of the peer's */
	uint32_t free; /* of those: no operation touches them any more */
	uint32_t barrier[2], upto[2]; /* work requests that must end before `upto` are free: what
					 is waited for, and what came meanwhile */
	unsigned barriers;
	uint64_t ids[VERBS_REVOKED_KEPT]; /* ring: heard last */
	unsigned kept;
};

enum verbs_phase {
	VERBS_RESOLVE_ADDR,
	VERBS_RESOLVE_ROUTE,
	VERBS_CONNECT,
	VERBS_ACCEPTED, /* by us; the peer does not know yet */
	VERBS_OPEN,
	VERBS_ENDED,
};

struct verbs_conn {
	struct transport_conn base;
	enum verbs_phase phase;
	struct rdma_cm_id *id;
	struct verbs_pd *pd;
	struct verbs_cq cq; /* control messages and the peer's lane */
	struct verbs_cq out_cq; /* our lane: armed only while something of it is in flight */
	struct list dirty;
	struct pulse pulse;
	int begin_errno; /* connecting failed at once: flush() tells */
	unsigned depth; /* agreed */
	struct greeting_hello hello;
	struct ibv_qp_attr path; /* how to reach the peer */
	struct verbs_slots slots;
	struct verbs_control control;
	struct verbs_out out;
	struct verbs_in in;
	struct verbs_revoke revoke;
};

static inline struct verbs_transport *verbs_transport(struct transport *t)
{
	return container_of(t, struct verbs_transport, base);
}

static inline struct verbs_conn *verbs_conn(struct transport_conn *conn)
{
	return container_of(conn, struct verbs_conn, base);
}

/* verbs_cm.c */
int verbs_cm_open(struct verbs_transport *vt, struct loop *loop, struct ramet_err *err);
void verbs_cm_close(struct verbs_transport *vt);
int verbs_listen(struct transport *t, const char *addr, struct transport_listener **ret_listener,
	struct ramet_err *err);
void verbs_listener_close(struct transport_listener *listener);
int verbs_connect(struct transport_domain *domain, const char *addr, const void *token,
	size_t token_len, struct transport_conn **ret_conn, struct ramet_err *err);

/* verbs_conn.c */
struct verbs_conn *verbs_conn_new(void); /* NULL: out of memory */
void verbs_conn_free(struct transport_conn *base);
/* what a connection needs from the device, once its domain and `id` with a device are known */
int verbs_conn_prepare(struct verbs_conn *conn, struct transport_domain *domain,
	const struct transport_options *options, struct ramet_err *err);
/* both sides have agreed: from now on messages and lanes. H. A failure ends the connection. */
void verbs_conn_open(struct verbs_conn *conn);
void verbs_conn_agree(struct verbs_conn *conn, unsigned depth, unsigned timeout_ms);
void verbs_conn_close(struct transport_conn *base);
void verbs_conn_abort(struct transport_conn *base);
/* everything in flight completes with code, the queue pairs go; the text tells why */
void verbs_conn_fail(struct verbs_conn *conn, int code, const char *fmt, ...) PRINTF_LIKE(3, 4);
void verbs_conn_mark(struct verbs_conn *conn); /* something to do: flush soon */
void verbs_conn_flush(struct verbs_conn *conn, bool sleeps); /* H */
void verbs_conn_tick(struct verbs_conn *conn, uint64_t now); /* H */

/* verbs_cq.c */
int verbs_cq_open(struct verbs_transport *vt, struct loop *loop, struct ramet_err *err);
void verbs_cq_close(struct verbs_transport *vt);
/* both queues */
int verbs_cq_init(struct verbs_conn *conn, struct ibv_comp_channel *channel, struct ramet_err *err);
void verbs_cq_fini(struct verbs_conn *conn);
unsigned verbs_cq_poll(struct verbs_conn *conn); /* H: how many completions it took in */
bool verbs_cq_must_arm(const struct verbs_conn *conn); /* before anybody sleeps */
void verbs_cq_arm(struct verbs_conn *conn); /* H: arms, then takes in what came before */

/* verbs_control.c */
int verbs_control_init(struct verbs_conn *conn); /* posts the receives */
void verbs_control_flush(struct verbs_conn *conn); /* says what is owed, as far as there is room */
void verbs_control_on_tx(struct verbs_conn *conn, const struct ibv_wc *wc);
void verbs_control_on_rx(struct verbs_conn *conn, const struct ibv_wc *wc); /* H */

/* verbs_qp.c */
int verbs_path_learn(struct verbs_conn *conn, struct ramet_err *err);
/* a queue pair in INIT, and our end of the lane: number, first sequence number, address, and an MTU
 * of at most the one given */
int verbs_qp_create(struct verbs_conn *conn, bool requester, struct ibv_qp **ret_qp,
	struct verbs_lane_end *io_end);
/* connects it to the peer's end; 0 or -1 with errno */
int verbs_qp_connect(struct verbs_conn *conn, struct ibv_qp *qp, bool requester,
	const struct verbs_lane_end *ours, const struct verbs_lane_end *theirs);
void verbs_qp_to_error(struct ibv_qp *qp); /* NULL is fine */
void verbs_qp_destroy(struct ibv_qp **io_qp);
/* the exponent of a queue pair's timeout with which it gives up after about so long */
uint8_t verbs_qp_timeout(uint64_t ns);

/* verbs_out.c */
int verbs_out_init(struct verbs_out *out, unsigned depth, const struct verbs_limits *limits);
void verbs_out_fini(struct verbs_out *out);
int verbs_post(struct transport_conn *base, const struct transport_request *request);
void verbs_out_pump(struct verbs_conn *conn); /* hands waiting operations to the device */
void verbs_out_end_finished(struct verbs_conn *conn); /* tells those at the head that are over */
void verbs_out_on_wc(struct verbs_conn *conn, const struct ibv_wc *wc);
void verbs_out_fail_all(struct verbs_conn *conn, int code);

/* verbs_recover.c */
int verbs_lane_open(struct verbs_conn *conn); /* a new end, and the peer is asked; 0 or negative */
void verbs_lane_break(struct verbs_conn *conn); /* it failed: drain it */
void verbs_lane_drained(struct verbs_conn *conn);
void verbs_lane_on_ready(struct verbs_conn *conn, const struct verbs_message *message);

/* verbs_in.c */
void verbs_in_on_open(struct verbs_conn *conn, const struct verbs_message *message);
void verbs_in_on_wc(struct verbs_conn *conn, const struct ibv_wc *wc); /* H */

/* verbs_segment.c */
int verbs_pd_get(struct verbs_transport *vt, const struct transport_domain *domain,
	struct verbs_pd **ret_pd, struct ramet_err *err);
void verbs_pd_put(struct verbs_pd *pd); /* NULL is fine */
int verbs_segment_add(struct transport_segment *segment, struct ramet_err *err);
void verbs_segment_remove(struct transport_segment *segment);
void verbs_segment_release(struct transport_segment *segment);
/* fills in the next message with segments that the peer must be told of; false: none */
bool verbs_revoke_next(struct verbs_conn *conn, struct verbs_message *message);
int verbs_revoke_on_acked(struct verbs_conn *conn, uint32_t acked); /* 0 or RAMET_EPROTO */
void verbs_revoke_on_message(struct verbs_conn *conn, const struct verbs_message *message);
bool verbs_revoke_knows(const struct verbs_conn *conn, uint64_t id);
void verbs_revoke_advance(struct verbs_conn *conn); /* work requests have ended */
bool verbs_revoke_overdue(const struct verbs_conn *conn, uint64_t now); /* unacknowledged */
void verbs_revoke_end(struct verbs_conn *conn); /* this peer touches nothing any more */

#endif
