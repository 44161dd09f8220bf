/* When our lane fails: everything in flight comes back flushed, the peer is asked for a new end and
 * for its verdict on the operation that failed first, and what was innocent is posted again. The
 * peer also says how many sends and doorbells it has taken, so that none happens twice. */
#include "transport/verbs.h"

#include <errno.h>

int verbs_lane_open(struct verbs_conn *conn)
{
	struct verbs_out *out = &conn->out;
	const struct verbs_limits *limits = &verbs_transport(conn->base.transport)->device.limits;
	out->end.epoch++;
	out->end.rd_atomic = limits->max_reads;
	out->end.mtu = 0; /* the path's */
	if (verbs_qp_create(conn, true, &out->qp, &out->end) < 0)
		return RAMET_EPEER;
	out->state = VERBS_LANE_ASKED;
	out->open_owed = true;
	verbs_conn_mark(conn);
	return 0;
}

void verbs_lane_break(struct verbs_conn *conn)
{
	struct verbs_out *out = &conn->out;
	if (out->state != VERBS_LANE_UP)
		return;
	out->state = VERBS_LANE_DRAINING;
	verbs_qp_to_error(out->qp); /* whatever the device thinks of it */
	if (out->wr_done == out->wr_posted)
		verbs_lane_drained(conn);
}

void verbs_lane_drained(struct verbs_conn *conn)
{
	verbs_qp_destroy(&conn->out.qp);
	conn->out.state = VERBS_LANE_DOWN;
	if (verbs_lane_open(conn) < 0)
		verbs_conn_fail(conn, RAMET_EPEER, "no queue pair for a lane");
}

/* sends and doorbells up to number `received` have arrived, and with them the writes before them */
static void settle(struct verbs_out *out, uint32_t received)
{
	uint32_t arrived = out->done;
	for (uint32_t i = out->done; i != out->next; i++) {
		const struct verbs_op *op = &out->ops[i & out->mask];
		if (op->handed && op->message && !verbs_after(op->message, received))
			arrived = i + 1;
	}
	for (uint32_t i = out->done; i != arrived; i++) {
		struct verbs_op *op = &out->ops[i & out->mask];
		if (op->handed && op->request.op != TRANSPORT_READ)
			op->finished = true; /* also one whose segment has ended since */
	}
	for (uint32_t i = out->done; i != out->next; i++) {
		struct verbs_op *op = &out->ops[i & out->mask];
		if (op->finished)
			continue;
		op->sent = 0;
		op->message = 0;
		op->handed = false;
	}
	out->next = out->done;
	out->messages = out->messages_done = received;
}

/* what becomes of the operation that broke the lane; false: the connection cannot go on */
static bool judge(struct verbs_out *out, int verdict)
{
	struct verbs_op *op = &out->ops[out->suspect & out->mask];
	out->suspected = false;
	if (op->finished || op->status < 0)
		return true;
	if (verdict < 0) {
		op->status = verdict;
		return true;
	}
	if (++op->tries < VERBS_TRIES_MAX)
		return true;
	if (out->why != IBV_WC_REM_ACCESS_ERR && out->why != IBV_WC_LOC_PROT_ERR)
		return false;
	op->status = RAMET_EACCESS; /* the peer sees nothing wrong, its device does */
	return true;
}

void verbs_lane_on_ready(struct verbs_conn *conn, const struct verbs_message *message)
{
	struct verbs_out *out = &conn->out;
	if (out->state != VERBS_LANE_ASKED || message->lane.epoch != out->end.epoch ||
		message->lane.rd_atomic > out->end.rd_atomic || message->lane.mtu > out->end.mtu) {
		verbs_conn_fail(
			conn, RAMET_EPROTO, "an answer about a lane that was not asked for");
		return;
	}
	settle(out, message->lane_received);
	if (out->suspected && !judge(out, message->verdict)) {
		verbs_conn_fail(conn, RAMET_EPEER, "its lane fails again and again: %s",
			ibv_wc_status_str(out->why));
		return;
	}
	if (verbs_qp_connect(conn, out->qp, true, &out->end, &message->lane) < 0) {
		verbs_conn_fail(conn, RAMET_EPEER, "lane: %s", strerrordesc_np(errno));
		return;
	}
	out->state = VERBS_LANE_UP;
	verbs_conn_mark(conn);
}
