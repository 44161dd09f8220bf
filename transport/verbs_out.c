/* Our lane while it works: requests wait in a ring, go to the device as far as it, the peer's
 * receives and the bound on bytes in flight allow, and end in order. */
#include "base/fault.h"
#include "transport/verbs.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#define POSTS_AT_ONCE 32

int verbs_out_init(struct verbs_out *out, unsigned depth, const struct verbs_limits *limits)
{
	uint32_t size = 1;
	while (size < depth)
		size *= 2;
	out->ops = calloc(size, sizeof(*out->ops));
	if (!out->ops)
		return RAMET_ENOMEM;
	out->mask = size - 1;
	out->limit = VERBS_SLOTS;
	out->end.rd_atomic = limits->max_reads;
	return 0;
}

void verbs_out_fini(struct verbs_out *out)
{
	free(out->ops);
}

static struct verbs_op *op_at(struct verbs_out *out, uint32_t number)
{
	return &out->ops[number & out->mask];
}

static bool op_tells(const struct verbs_op *op)
{
	return op->request.op == TRANSPORT_SEND || op->request.op == TRANSPORT_WRITE_IMM;
}

/* a reference that cannot be right, or is known to have ended, need not travel */
static int ref_check(const struct verbs_conn *conn, const struct transport_request *request)
{
	uint32_t rkey;
	uint64_t start;
	if (request->op == TRANSPORT_SEND || request->len == 0)
		return 0;
	if (verbs_revoke_knows(conn, request->ref.id))
		return RAMET_EREVOKED;
	return verbs_key_split(&request->ref, &rkey, &start);
}

int verbs_post(struct transport_conn *base, const struct transport_request *request)
{
	struct verbs_conn *conn = verbs_conn(base);
	struct verbs_out *out = &conn->out;
	struct verbs_op op = {.request = *request, .status = ref_check(conn, request)};
	if (request->op == TRANSPORT_SEND) {
		op.copy = malloc(request->len);
		if (!op.copy)
			return RAMET_ENOMEM;
		memcpy(op.copy, request->addr, request->len);
	}
	*op_at(out, out->posted++) = op;
	verbs_conn_mark(conn);
	return 0;
}

/* --- to the device --- */

/* the next work request of ops[out->next]; false: the peer has no room for it now */
static bool wr_build(struct verbs_conn *conn, struct ibv_send_wr *wr, struct ibv_sge *sge)
{
	struct verbs_out *out = &conn->out;
	struct verbs_op *op = op_at(out, out->next);
	const struct transport_request *request = &op->request;
	uint32_t len = MIN(request->len - op->sent, VERBS_CHUNK_MAX);
	bool last = op->sent + len == request->len;
	if (last && op_tells(op)) {
		if (out->messages == out->limit ||
			out->messages - out->messages_done >= VERBS_SLOTS)
			return false;
		op->message = ++out->messages;
	}
	*wr = (struct ibv_send_wr){
		.wr_id = verbs_wr_id(VERBS_OUT, out->end.epoch, out->wr_posted),
		.sg_list = sge,
		.num_sge = len > 0,
		.send_flags = IBV_SEND_SIGNALED,
	};
	sge->length = len;
	if (request->op == TRANSPORT_SEND) {
		unsigned char *slot = conn->slots.lane_tx +
			(size_t)(op->message % VERBS_SLOTS) * TRANSPORT_SEND_MAX;
		memcpy(slot, op->copy, len);
		sge->addr = (uintptr_t)slot;
		sge->lkey = conn->slots.mr->lkey;
		wr->opcode = IBV_WR_SEND;
	} else {
		uint32_t rkey = 0;
		uint64_t start = 0;
		if (len > 0) {
			const struct verbs_segment *local = request->local->provider;
			(void)verbs_key_split(
				&request->ref, &rkey, &start); /* checked at the post */
			sge->addr = (uintptr_t)(request->addr + op->sent);
			sge->lkey = local->mr->lkey;
		}
		wr->wr.rdma.remote_addr = start + request->ref.offset + op->sent;
		wr->wr.rdma.rkey = rkey;
		wr->opcode = request->op == TRANSPORT_READ ? IBV_WR_RDMA_READ : IBV_WR_RDMA_WRITE;
		if (last && request->op == TRANSPORT_WRITE_IMM) {
			wr->opcode = IBV_WR_RDMA_WRITE_WITH_IMM;
			wr->imm_data = htonl(request->imm);
		}
	}
	out->wrs[out->wr_posted++ % VERBS_WRS_MAX] =
		(struct verbs_wr){.op = out->next, .len = len, .last = last};
	out->bytes += len;
	op->sent += len;
	op->wrs++;
	op->handed = last;
	if (last)
		out->next++;
	return true;
}

void verbs_out_end_finished(struct verbs_conn *conn)
{
	struct verbs_out *out = &conn->out;
	while (out->done != out->posted) {
		struct verbs_op *op = op_at(out, out->done);
		if (op->wrs > 0 || (!op->finished && op->status == 0))
			break;
		const struct transport_request request = op->request;
		int status = op->finished ? 0 : op->status;
		free(op->copy);
		op->copy = NULL;
		if (out->next == out->done)
			out->next++;
		out->done++;
		transport_complete(&conn->base, &request, status);
	}
}

/* ops[next] is over already, or fails: nothing of it, or nothing more, goes out */
static bool skip(struct verbs_out *out)
{
	const struct verbs_op *op = op_at(out, out->next);
	if (!op->finished && op->status == 0)
		return false;
	out->next++;
	return true;
}

/* a chain of work requests, until so many bytes are in flight; how many */
static unsigned chain_build(struct verbs_conn *conn, struct ibv_send_wr *wrs, struct ibv_sge *sges,
	unsigned max, size_t enough)
{
	struct verbs_out *out = &conn->out;
	unsigned count = 0;
	while (count < max && out->next != out->posted &&
		out->wr_posted - out->wr_done < out->wr_cap && out->bytes < VERBS_WIRE_BYTES &&
		out->bytes < enough) {
		if (skip(out))
			continue;
		if (!wr_build(conn, &wrs[count], &sges[count]))
			break;
		if (count > 0)
			wrs[count - 1].next = &wrs[count];
		count++;
	}
	return count;
}

void verbs_out_pump(struct verbs_conn *conn)
{
	struct verbs_out *out = &conn->out;
	verbs_out_end_finished(conn);
	if (out->state == VERBS_LANE_DOWN && out->done != out->posted && verbs_lane_open(conn) < 0)
		verbs_conn_fail(conn, RAMET_EPEER, "no queue pair for a lane");
	const size_t enough = out->bytes + VERBS_FLUSH_BYTES;
	while (out->state == VERBS_LANE_UP) {
		struct ibv_send_wr wrs[POSTS_AT_ONCE], *bad;
		struct ibv_sge sges[POSTS_AT_ONCE];
		if (out->bytes >= enough) {
			verbs_conn_mark(conn); /* the rest soon */
			break;
		}
		unsigned count = chain_build(conn, wrs, sges, POSTS_AT_ONCE, enough);
		if (count == 0)
			break;
		if (ibv_post_send(out->qp, wrs, &bad)) {
			/* what was refused, and what was not, cannot be told apart later */
			verbs_conn_fail(conn, RAMET_EPEER, "the device takes no work requests");
			return;
		}
		if (fault_hit("transport.lane_break"))
			verbs_lane_break(conn);
	}
	verbs_out_end_finished(conn); /* those that were skipped */
}

/* --- from the device --- */

void verbs_out_on_wc(struct verbs_conn *conn, const struct ibv_wc *wc)
{
	struct verbs_out *out = &conn->out;
	if ((wc->wr_id >> 32 & 0xffffff) != (out->end.epoch & 0xffffff) ||
		out->wr_done == out->wr_posted)
		return; /* of a lane that is gone */
	const struct verbs_wr wr = out->wrs[out->wr_done++ % VERBS_WRS_MAX];
	struct verbs_op *op = op_at(out, wr.op);
	out->bytes -= wr.len;
	op->wrs--;
	if (wr.last && op_tells(op))
		out->messages_done++;
	if (wc->status == IBV_WC_SUCCESS) {
		op->finished = wr.last;
	} else {
		if (!out->suspected && wc->status != IBV_WC_WR_FLUSH_ERR) {
			out->suspected = true;
			out->suspect = wr.op;
			out->why = wc->status;
		}
		verbs_lane_break(conn);
	}
	verbs_out_end_finished(conn);
	verbs_revoke_advance(conn);
	if (out->state == VERBS_LANE_DRAINING && out->wr_done == out->wr_posted)
		verbs_lane_drained(conn);
}

/* the queue pair is gone */
void verbs_out_fail_all(struct verbs_conn *conn, int code)
{
	struct verbs_out *out = &conn->out;
	out->state = VERBS_LANE_DOWN;
	for (; out->done != out->posted; out->done++) {
		struct verbs_op *op = op_at(out, out->done);
		const struct transport_request request = op->request;
		free(op->copy);
		op->copy = NULL;
		transport_complete(&conn->base, &request, op->finished ? 0 : code);
	}
	out->next = out->done;
}
