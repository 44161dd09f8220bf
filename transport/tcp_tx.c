/* Frames out. Frames are made when the socket takes them, straight from the segments' memory: what
 * is queued is only which requests and answers are owed, in two rings bounded by the agreed depth.
 * Requests and answers take turns. */
#include "base/clock.h"
#include "base/fault.h"
#include "transport/segment_table.h"
#include "transport/tcp.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define TX_FRAMES 64

int tcp_tx_init(struct tcp_tx *tx, unsigned depth)
{
	uint32_t size = 1;
	while (size < depth)
		size *= 2;
	tx->requests = calloc(size, sizeof(*tx->requests));
	tx->answers = calloc(size, sizeof(*tx->answers));
	if (!tx->requests || !tx->answers)
		return RAMET_ENOMEM;
	tx->mask = size - 1;
	return 0;
}

void tcp_tx_fini(struct tcp_tx *tx)
{
	free(tx->requests);
	free(tx->answers);
	free(tx->spill);
}

int tcp_tx_post(struct tcp_conn *conn, const struct transport_request *request)
{
	struct tcp_tx *tx = &conn->tx;
	struct transport_request copy = *request;
	if (request->op == TRANSPORT_SEND) {
		copy.addr = malloc(request->len);
		if (!copy.addr)
			return RAMET_ENOMEM;
		memcpy(copy.addr, request->addr, request->len);
	}
	tx->requests[tx->posted++ & tx->mask] = copy;
	tcp_conn_mark(conn);
	return 0;
}

void tcp_tx_complete(struct tcp_conn *conn, int status)
{
	struct tcp_tx *tx = &conn->tx;
	const struct transport_request *request = &tx->requests[tx->done++ & tx->mask];
	if (request->op == TRANSPORT_SEND)
		free(request->addr);
	transport_complete(&conn->base, request, status);
	if (conn->base.state == CONN_CLOSING)
		tcp_conn_mark(conn);
}

bool tcp_tx_was_sent(const struct tcp_tx *tx, uint32_t number)
{
	if ((int32_t)(tx->cursor.request - number) <= 0)
		return false;
	return !(tx->part_sent > 0 && tx->part.is_request && tx->part.number == number);
}

int tcp_tx_answer(struct tcp_conn *conn, const struct tcp_answer *answer)
{
	struct tcp_tx *tx = &conn->tx;
	if (tx->answers_end - tx->cursor.answer >= conn->base.depth)
		return RAMET_EPROTO;
	tx->answers[tx->answers_end++ & tx->mask] = *answer;
	return 0;
}

static void out_set(struct tcp_out *out, const struct tcp_frame *frame, const unsigned char *data)
{
	tcp_frame_encode(frame, out->header);
	out->data = data;
	out->len = frame->payload;
	out->is_request = frame->op <= TCP_SEND;
	out->number = frame->number;
	out->segment = NULL;
}

/* the next frame that answers the peer; a read is looked up again for each, since its segment may
 * go */
static bool next_answer(struct tcp_conn *conn, struct tcp_cursor *at, struct tcp_out *out)
{
	const struct tcp_tx *tx = &conn->tx;
	if (at->answer == tx->answers_end)
		return false;
	const struct tcp_answer *answer = &tx->answers[at->answer & tx->mask];
	struct tcp_frame frame = {
		.op = answer->op,
		.number = answer->number,
		.status = answer->status,
	};
	struct transport_segment *segment = NULL;
	struct segment_ref ref = answer->ref;
	if (answer->op == TCP_DATA) {
		uint32_t left = answer->len - at->answer_bytes;
		uint32_t len = MIN(left, TCP_CHUNK_MAX);
		ref.offset += at->answer_bytes;
		if (frame.status == 0)
			frame.status = segment_table_find(conn->base.transport->table,
				conn->base.domain->id, ref, len, false, &segment);
		frame.payload = frame.status == 0 ? len : 0;
		if (frame.status != 0 || len == left)
			frame.flags = TCP_FLAG_LAST;
		at->answer_bytes += len;
	}
	out_set(out, &frame, segment ? segment->addr + ref.offset : NULL);
	out->segment = segment;
	if (answer->op == TCP_ACK || (frame.flags & TCP_FLAG_LAST)) {
		at->answer++;
		at->answer_bytes = 0;
	}
	return true;
}

static bool next_request(struct tcp_conn *conn, struct tcp_cursor *at, struct tcp_out *out)
{
	const struct tcp_tx *tx = &conn->tx;
	if (at->request == tx->posted)
		return false;
	const struct transport_request *request = &tx->requests[at->request & tx->mask];
	struct tcp_frame frame = {.number = at->request, .ref = request->ref};
	const unsigned char *data = NULL;
	bool last = true;
	switch (request->op) {
	case TRANSPORT_READ:
		frame.op = TCP_READ;
		frame.want = request->len;
		break;
	case TRANSPORT_SEND:
		frame.op = TCP_SEND;
		frame.payload = request->len;
		data = request->addr;
		break;
	case TRANSPORT_WRITE:
	case TRANSPORT_WRITE_IMM:
		frame.op = TCP_WRITE;
		frame.payload = MIN(request->len - at->request_bytes, TCP_CHUNK_MAX);
		frame.ref.offset += at->request_bytes;
		data = request->addr ? request->addr + at->request_bytes : NULL;
		at->request_bytes += frame.payload;
		last = at->request_bytes == request->len;
		frame.flags = last ? TCP_FLAG_LAST : 0;
		if (last && request->op == TRANSPORT_WRITE_IMM) {
			frame.flags |= TCP_FLAG_IMM;
			frame.imm = request->imm;
		}
		break;
	}
	out_set(out, &frame, data);
	if (last) {
		at->request++;
		at->request_bytes = 0;
	}
	return true;
}

static bool next_frame(struct tcp_conn *conn, struct tcp_cursor *at, struct tcp_out *out)
{
	if (at->ping) {
		out_set(out, &(struct tcp_frame){.op = TCP_PING}, NULL);
		at->ping = false;
		return true;
	}
	bool answers_first = at->answers_first;
	at->answers_first = !answers_first;
	if (answers_first && next_answer(conn, at, out))
		return true;
	if (next_request(conn, at, out) || next_answer(conn, at, out))
		return true;
	if (!at->bye)
		return false;
	out_set(out, &(struct tcp_frame){.op = TCP_BYE}, NULL);
	at->bye = false;
	return true;
}

/* what is left of a frame of which `sent` bytes are out, as at most two pieces */
static unsigned out_pieces(const struct tcp_out *out, uint32_t sent, struct iovec *iov)
{
	unsigned n = 0;
	if (sent < TCP_HEADER_SIZE) {
		iov[n].iov_base = (void *)(uintptr_t)(out->header + sent);
		iov[n++].iov_len = TCP_HEADER_SIZE - sent;
		sent = TCP_HEADER_SIZE;
	}
	if (out->len > sent - TCP_HEADER_SIZE) {
		iov[n].iov_base = (void *)(uintptr_t)(out->data + (sent - TCP_HEADER_SIZE));
		iov[n++].iov_len = out->len - (sent - TCP_HEADER_SIZE);
	}
	return n;
}

/* `sent` bytes of part and then of outs have gone: move the cursor, keep what is partly out */
static void tx_commit(struct tcp_tx *tx, const struct tcp_out *outs, unsigned count, size_t sent)
{
	if (tx->part_sent > 0) {
		size_t left = TCP_HEADER_SIZE + tx->part.len - tx->part_sent;
		size_t taken = MIN(left, sent);
		sent -= taken;
		tx->part_sent = taken == left ? 0 : tx->part_sent + (uint32_t)taken;
		if (tx->part_sent == 0) {
			free(tx->spill);
			tx->spill = NULL;
		}
	}
	for (unsigned i = 0; i < count && sent > 0; i++) {
		size_t whole = TCP_HEADER_SIZE + outs[i].len;
		tx->cursor = outs[i].after;
		if (sent < whole) {
			tx->part = outs[i];
			tx->part_sent = (uint32_t)sent;
			return;
		}
		sent -= whole;
	}
}

/* one writev: 1 sent all there was, 0 the socket is full or there may be more, -1 with errno */
static int tx_send_once(struct tcp_conn *conn, size_t *budget)
{
	struct tcp_tx *tx = &conn->tx;
	struct tcp_out outs[TX_FRAMES];
	struct iovec iov[2 * TX_FRAMES + 2];
	unsigned count = 0, pieces = 0;
	size_t bytes = 0;
	if (tx->part_sent > 0) {
		pieces = out_pieces(&tx->part, tx->part_sent, iov);
		bytes = TCP_HEADER_SIZE + tx->part.len - tx->part_sent;
	}
	struct tcp_cursor at = tx->cursor;
	while (count < TX_FRAMES && bytes < *budget && next_frame(conn, &at, &outs[count])) {
		outs[count].after = at;
		pieces += out_pieces(&outs[count], 0, iov + pieces);
		bytes += TCP_HEADER_SIZE + outs[count].len;
		count++;
	}
	if (pieces == 0)
		return 1;

	if (fault_hit("transport.short_send")) {
		pieces = 1;
		iov[0].iov_len = (iov[0].iov_len + 1) / 2;
	}
	const struct msghdr msg = {.msg_iov = iov, .msg_iovlen = pieces};
	ssize_t n = sendmsg(conn->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (n < 0)
		return -1;
	tx_commit(tx, outs, count, (size_t)n);
	*budget -= MIN(*budget, (size_t)n);
	if ((size_t)n < bytes) {
		errno = EAGAIN;
		return -1;
	}
	bool limited = count == TX_FRAMES || *budget == 0;
	return limited ? 0 : 1;
}

int tcp_tx_send(struct tcp_conn *conn, bool *ret_more)
{
	size_t budget = TCP_EVENT_BUDGET;
	int rc = 0;
	while (rc == 0 && budget > 0)
		rc = tx_send_once(conn, &budget);
	if (rc < 0 && errno != EAGAIN && errno != EINTR)
		return -1;
	if (budget < TCP_EVENT_BUDGET)
		conn->pulse.tx_ns = now_ns();
	*ret_more = rc != 1;
	return 0;
}

int tcp_tx_segment_removed(struct tcp_conn *conn, const struct transport_segment *segment)
{
	struct tcp_tx *tx = &conn->tx;
	if (tx->part_sent == 0 || tx->part.segment != segment)
		return 0;
	tx->part.segment = NULL;
	tx->spill = malloc(tx->part.len);
	if (!tx->spill)
		return RAMET_ENOMEM;
	memcpy(tx->spill, tx->part.data, tx->part.len);
	tx->part.data = tx->spill;
	return 0;
}
