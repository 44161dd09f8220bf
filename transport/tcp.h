/* What the files of the `tcp` provider share: tcp.c (ops), tcp_listen.c (strangers), tcp_conn.c (a
 * connection's life), tcp_tx.c, tcp_rx.c (frames out and in), tcp_sock.c (socket options).
 */
#ifndef TRANSPORT_TCP_H
#define TRANSPORT_TCP_H

#include "base/log.h"
#include "transport/greeting.h"
#include "transport/provider.h"
#include "transport/pulse.h"
#include "transport/tcp_wire.h"

#define TCP_RX_BUFFER (64u << 10)
#define TCP_EVENT_BUDGET (1u << 20) /* bytes a connection may move before others get their turn */
#define TCP_STRANGERS_MAX 256

struct tcp_transport {
	struct transport base;
	struct list dirty; /* struct tcp_conn.dirty: something to send, or to end */
	struct list guests;
};

struct tcp_listener {
	struct transport_listener base;
	struct tcp_transport *transport;
	int fd;
	struct loop_watch watch;
	struct loop_timer pause; /* out of descriptors: look again later */
	struct log_limit drops;
};

/* an answer that we owe to a peer's request */
struct tcp_answer {
	enum tcp_frame_op op; /* TCP_DATA or TCP_ACK */
	int status;
	uint32_t number;
	uint32_t len;
	struct segment_ref ref;
};

/* How far sending has come. Numbers run on for ever; their low bits index the rings. */
struct tcp_cursor {
	uint32_t request, request_bytes; /* the next one to send, and how much of its payload was */
	uint32_t answer, answer_bytes;
	bool ping, bye; /* owed */
	bool answers_first; /* whose turn it is */
};

/* one frame on its way out */
struct tcp_out {
	unsigned char header[TCP_HEADER_SIZE];
	const unsigned char *data;
	struct transport_segment *segment; /* of an answer's data */
	uint32_t len;
	uint32_t number;
	struct tcp_cursor after; /* where sending is once this frame is out */
	bool is_request;
};

struct tcp_tx {
	struct transport_request *requests; /* ring: [done, posted) wait for their answers */
	struct tcp_answer *answers; /* ring: [cursor.answer, answers_end) */
	uint32_t mask;
	uint32_t done, posted, answers_end;
	struct tcp_cursor cursor;
	struct tcp_out part; /* a frame that is partly out, if part_sent > 0: that much of header
				and data */
	uint32_t part_sent;
	unsigned char *spill; /* copy of the rest of part.data, when its segment was removed */
	bool bye_queued;
};

struct tcp_rx {
	unsigned char *buffer;
	uint32_t head, tail;
	struct tcp_frame frame; /* whose payload is coming in */
	uint32_t left; /* payload bytes still to come */
	unsigned char *dst; /* where they go; NULL: nowhere */
	struct transport_segment *segment; /* where dst lies, for a peer's write */
	uint32_t next; /* number of the peer's next request */
	uint32_t read_bytes; /* of our oldest read, so far */
	bool writing; /* a peer's write has begun and not ended */
	int write_status;
};

enum tcp_phase { TCP_CONNECT, TCP_AWAIT_WELCOME, TCP_FRAMES, TCP_ENDED };

struct tcp_conn {
	struct transport_conn base;
	enum tcp_phase phase;
	int fd;
	int connect_errno; /* connect() failed at once: flush() tells */
	struct loop_watch watch;
	uint32_t events; /* watched */
	struct list dirty;
	struct pulse pulse;
	unsigned char greeting[GREETING_HELLO_SIZE]; /* our hello, then the peer's welcome */
	uint32_t greeting_len;
	struct tcp_tx tx;
	struct tcp_rx rx;
};

static inline struct tcp_transport *tcp_transport(struct transport *t)
{
	return container_of(t, struct tcp_transport, base);
}

static inline struct tcp_conn *tcp_conn(struct transport_conn *conn)
{
	return container_of(conn, struct tcp_conn, base);
}

/* tcp_sock.c */
int tcp_sock_tune(int fd,
	unsigned timeout_ms); /* no delay, no patience with a dead peer; 0 or -1 with errno */
/* for a socket that is given away: its peer may leave unread what was sent for as long as it likes,
 * which TCP_USER_TIMEOUT takes for death; 0 or -1 with errno */
int tcp_sock_patient(int fd);
/* when the peer's kernel was heard last, be it that it acknowledged what it has already; 0: unknown
 */
uint64_t tcp_sock_answered_ns(int fd, uint64_t now);

/* tcp_listen.c */
int tcp_listen(struct transport *t, const char *addr, struct transport_listener **ret_listener,
	struct ramet_err *err);
void tcp_listener_close(struct transport_listener *listener);
void tcp_guests_tick(struct tcp_transport *tt, uint64_t now);

/* tcp_conn.c */
struct tcp_conn *tcp_conn_new(void); /* NULL: out of memory */
void tcp_conn_free(struct transport_conn *base);
/* the handshake is over: from now on frames. H. 0, RAMET_ENOMEM or RAMET_EIO: then the caller ends
 * the connection */
int tcp_conn_start(struct tcp_conn *conn, struct loop *loop, unsigned depth, unsigned timeout_ms);
int tcp_connect(struct transport_domain *domain, const char *addr, const void *token,
	size_t token_len, struct transport_conn **ret_conn, struct ramet_err *err);
void tcp_conn_close(struct transport_conn *base);
void tcp_conn_abort(struct transport_conn *base);
/* everything in flight completes with code, the socket closes; the text tells why */
void tcp_conn_fail(struct tcp_conn *conn, int code, const char *fmt, ...) PRINTF_LIKE(3, 4);
void tcp_conn_mark(struct tcp_conn *conn); /* something to send: flush soon */
void tcp_conn_flush(struct tcp_conn *conn);
void tcp_conn_receive(struct tcp_conn *conn); /* H */
void tcp_conn_tick(struct tcp_conn *conn, uint64_t now); /* H */

/* tcp_tx.c */
int tcp_tx_init(struct tcp_tx *tx, unsigned depth); /* 0 or RAMET_ENOMEM */
void tcp_tx_fini(struct tcp_tx *tx);
int tcp_tx_post(struct tcp_conn *conn, const struct transport_request *request);
/* as far as socket and budget allow; *ret_more: ask for EPOLLOUT. 0, or -1 with errno */
int tcp_tx_send(struct tcp_conn *conn, bool *ret_more);
/* the oldest request of ours has its answer */
void tcp_tx_complete(struct tcp_conn *conn, int status);
bool tcp_tx_was_sent(const struct tcp_tx *tx, uint32_t number);
int tcp_tx_answer(struct tcp_conn *conn,
	const struct tcp_answer *answer); /* RAMET_EPROTO: more than agreed */
int tcp_tx_segment_removed(struct tcp_conn *conn, const struct transport_segment *segment);

/* tcp_rx.c */
int tcp_rx_init(struct tcp_rx *rx);
void tcp_rx_fini(struct tcp_rx *rx);
/* takes in what the socket has, within the budget. H. 0, or the code and text for the end of the
 * connection */
int tcp_rx_receive(struct tcp_conn *conn, const char **ret_why);
void tcp_rx_segment_removed(struct tcp_conn *conn, const struct transport_segment *segment);

#endif
