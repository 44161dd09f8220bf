/* Frames in. Headers and small payloads are parsed from one buffer; the rest of a large payload is
 * received straight into its destination, with whatever follows it going to the buffer in the same
 * call. */
#include "base/clock.h"
#include "base/fault.h"
#include "transport/segment_table.h"
#include "transport/tcp.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

int tcp_rx_init(struct tcp_rx *rx)
{
	rx->buffer = malloc(TCP_RX_BUFFER);
	return rx->buffer ? 0 : RAMET_ENOMEM;
}

void tcp_rx_fini(struct tcp_rx *rx)
{
	free(rx->buffer);
}

/* A peer's request must have the next number, and be one of at most depth without an answer. */
static int request_begin(struct tcp_conn *conn, const char **ret_why)
{
	const struct tcp_tx *tx = &conn->tx;
	*ret_why = "a request out of turn";
	if (conn->rx.frame.number != conn->rx.next)
		return RAMET_EPROTO;
	*ret_why = "more requests than agreed";
	if (tx->answers_end - tx->cursor.answer >= conn->base.depth)
		return RAMET_EPROTO;
	return 0;
}

static int request_end(struct tcp_conn *conn, enum tcp_frame_op op, int status)
{
	struct tcp_rx *rx = &conn->rx;
	const struct tcp_answer answer = {
		.op = op,
		.status = status,
		.number = rx->next++,
		.len = rx->frame.want,
		.ref = rx->frame.ref,
	};
	return tcp_tx_answer(conn, &answer);
}

static int on_read(struct tcp_conn *conn, const char **ret_why)
{
	struct tcp_rx *rx = &conn->rx;
	int rc = request_begin(conn, ret_why);
	if (rc < 0)
		return rc;
	if (rx->writing)
		return RAMET_EPROTO; /* ret_why says the same */
	struct transport_segment *segment;
	int status = segment_table_find(conn->base.transport->table, conn->base.domain->id,
		rx->frame.ref, rx->frame.want, false, &segment);
	return request_end(conn, TCP_DATA, status);
}

static int on_write(struct tcp_conn *conn, const char **ret_why)
{
	struct tcp_rx *rx = &conn->rx;
	int rc = request_begin(conn, ret_why);
	if (rc < 0)
		return rc;
	if (!rx->writing)
		rx->write_status = 0;
	rx->writing = true;
	struct transport_segment *segment;
	if (rx->write_status == 0 && rx->left > 0) {
		rx->write_status = segment_table_find(conn->base.transport->table,
			conn->base.domain->id, rx->frame.ref, rx->left, true, &segment);
		if (rx->write_status == 0) {
			rx->segment = segment;
			rx->dst = segment->addr + rx->frame.ref.offset;
		}
	}
	return 0;
}

static int on_write_end(struct tcp_conn *conn)
{
	struct tcp_rx *rx = &conn->rx;
	rx->segment = NULL;
	if (!(rx->frame.flags & TCP_FLAG_LAST))
		return 0;
	rx->writing = false;
	int rc = request_end(conn, TCP_ACK, rx->write_status);
	if (rc == 0 && (rx->frame.flags & TCP_FLAG_IMM) && rx->write_status == 0)
		transport_doorbell(&conn->base, rx->frame.imm);
	return rc;
}

static int on_send(struct tcp_conn *conn, const unsigned char *data, const char **ret_why)
{
	struct tcp_rx *rx = &conn->rx;
	int rc = request_begin(conn, ret_why);
	if (rc < 0)
		return rc;
	if (rx->writing)
		return RAMET_EPROTO;
	rc = request_end(conn, TCP_ACK, 0);
	if (rc == 0)
		transport_message(&conn->base, data, rx->frame.payload);
	return rc;
}

/* the request that an answer is for: the oldest, if it was sent and is of that kind */
static const struct transport_request *answered(struct tcp_conn *conn, const char **ret_why)
{
	const struct tcp_tx *tx = &conn->tx;
	const struct tcp_frame *frame = &conn->rx.frame;
	const struct transport_request *request = &tx->requests[tx->done & tx->mask];
	*ret_why = "an answer to no request";
	if (tx->done == tx->posted || frame->number != tx->done || !tcp_tx_was_sent(tx, tx->done))
		return NULL;
	if ((request->op == TRANSPORT_READ) != (frame->op == TCP_DATA))
		return NULL;
	return request;
}

static int on_ack(struct tcp_conn *conn, const char **ret_why)
{
	if (!answered(conn, ret_why))
		return RAMET_EPROTO;
	tcp_tx_complete(conn, conn->rx.frame.status);
	return 0;
}

static int on_data(struct tcp_conn *conn, const char **ret_why)
{
	struct tcp_rx *rx = &conn->rx;
	const struct transport_request *request = answered(conn, ret_why);
	if (!request)
		return RAMET_EPROTO;
	if (rx->frame.status != 0) {
		rx->read_bytes = 0;
		tcp_tx_complete(conn, rx->frame.status);
		return 0;
	}
	*ret_why = "an answer of the wrong length";
	uint32_t due = request->len - rx->read_bytes;
	bool last = rx->frame.flags & TCP_FLAG_LAST;
	if (last ? rx->left != due : rx->left >= due)
		return RAMET_EPROTO;
	rx->dst = request->addr + rx->read_bytes;
	return 0;
}

static int on_data_end(struct tcp_conn *conn)
{
	struct tcp_rx *rx = &conn->rx;
	rx->read_bytes += rx->frame.payload;
	if (!(rx->frame.flags & TCP_FLAG_LAST))
		return 0;
	rx->read_bytes = 0;
	tcp_tx_complete(conn, 0);
	return 0;
}

/* a whole payload has come in; not called for sends, which are taken from the buffer */
static int payload_end(struct tcp_conn *conn)
{
	conn->rx.dst = NULL;
	return conn->rx.frame.op == TCP_WRITE ? on_write_end(conn) : on_data_end(conn);
}

static int frame_begin(struct tcp_conn *conn, const char **ret_why)
{
	struct tcp_rx *rx = &conn->rx;
	int rc = 0;
	switch (rx->frame.op) {
	case TCP_READ:
		return on_read(conn, ret_why);
	case TCP_SEND:
		rx->left = 0;
		rx->head += rx->frame.payload;
		return on_send(conn, rx->buffer + rx->head - rx->frame.payload, ret_why);
	case TCP_ACK:
		return on_ack(conn, ret_why);
	case TCP_WRITE:
		rc = on_write(conn, ret_why);
		return rc == 0 && rx->left == 0 ? payload_end(conn) : rc;
	case TCP_DATA:
		return on_data(conn, ret_why);
	case TCP_PING:
		return 0;
	case TCP_BYE:
		*ret_why = "the peer closed the connection";
		return RAMET_ECLOSED;
	}
	return RAMET_EPROTO;
}

/* moves buffered bytes of a payload to where they go */
static int payload_take(struct tcp_conn *conn)
{
	struct tcp_rx *rx = &conn->rx;
	uint32_t n = MIN(rx->left, rx->tail - rx->head);
	if (rx->dst) {
		memcpy(rx->dst, rx->buffer + rx->head, n);
		rx->dst += n;
	}
	rx->head += n;
	rx->left -= n;
	return rx->left == 0 ? payload_end(conn) : 0;
}

/* works through the buffer; leaves less than a header, or a header with part of a small message, at
 * its start */
static int rx_parse(struct tcp_conn *conn, const char **ret_why)
{
	struct tcp_rx *rx = &conn->rx;
	int rc = 0;
	while (rc == 0) {
		if (rx->left > 0) {
			if (rx->head == rx->tail)
				break;
			rc = payload_take(conn);
			continue;
		}
		if (rx->tail - rx->head < TCP_HEADER_SIZE)
			break;
		*ret_why = "a malformed frame";
		struct tcp_frame frame;
		if (tcp_frame_parse(rx->buffer + rx->head, &frame) < 0)
			return RAMET_EPROTO;
		if (frame.op == TCP_SEND && rx->tail - rx->head < TCP_HEADER_SIZE + frame.payload)
			break;
		rx->head += TCP_HEADER_SIZE;
		rx->frame = frame;
		rx->left = frame.payload;
		rc = frame_begin(conn, ret_why);
	}
	memmove(rx->buffer, rx->buffer + rx->head, rx->tail - rx->head);
	rx->tail -= rx->head;
	rx->head = 0;
	return rc;
}

/* n bytes came: first the rest of a payload, then the buffer */
static int rx_arrived(struct tcp_conn *conn, size_t n, const char **ret_why)
{
	struct tcp_rx *rx = &conn->rx;
	if (conn->tx.bye_queued) {
		return 0; /* we are closing and have told the peer: nothing counts any more */
	}
	if (rx->dst) {
		uint32_t direct = (uint32_t)MIN(rx->left, n);
		rx->dst += direct;
		rx->left -= direct;
		n -= direct;
		if (rx->left == 0) {
			int rc = payload_end(conn);
			if (rc < 0)
				return rc;
		}
	}
	rx->tail += (uint32_t)n;
	return rx_parse(conn, ret_why);
}

int tcp_rx_receive(struct tcp_conn *conn, const char **ret_why)
{
	struct tcp_rx *rx = &conn->rx;
	size_t taken = 0;
	while (taken < TCP_EVENT_BUDGET) {
		struct iovec iov[2];
		int pieces = 0;
		size_t room = TCP_RX_BUFFER - rx->tail;
		if (rx->dst) {
			iov[pieces++] = (struct iovec){rx->dst, rx->left};
			room += rx->left;
		}
		iov[pieces++] = (struct iovec){rx->buffer + rx->tail, TCP_RX_BUFFER - rx->tail};
		if (fault_hit("transport.short_receive")) {
			pieces = 1;
			iov[0].iov_len = MIN(iov[0].iov_len, 37);
		}
		ssize_t n = readv(conn->fd, iov, pieces);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return 0;
		if (n <= 0) {
			*ret_why = n == 0 ? "the peer's end of the connection is gone"
					  : strerrordesc_np(errno);
			return RAMET_EPEER;
		}
		conn->pulse.rx_ns = now_ns();
		taken += (size_t)n;
		int rc = rx_arrived(conn, (size_t)n, ret_why);
		if (rc < 0)
			return rc;
		if ((size_t)n < room)
			return 0; /* the socket is empty */
	}
	return 0;
}

void tcp_rx_segment_removed(struct tcp_conn *conn, const struct transport_segment *segment)
{
	struct tcp_rx *rx = &conn->rx;
	if (rx->segment != segment)
		return;
	rx->segment = NULL;
	rx->dst = NULL; /* the rest of this frame is thrown away */
	rx->write_status = RAMET_EREVOKED;
}
