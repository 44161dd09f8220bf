/* The control queue pair: what is said when. Nothing is queued: the next message is made from what
 * is owed at that moment. Both sides count what they took, so that no message finds the other
 * without a receive; the last place of the window is kept for saying so. */
#include "base/clock.h"
#include "transport/verbs.h"

#include <string.h>

static int control_receive(struct verbs_conn *conn, uint32_t slot)
{
	struct ibv_sge sge = {
		.addr = (uintptr_t)(conn->slots.control_rx + (size_t)slot * VERBS_MESSAGE_SIZE),
		.length = VERBS_MESSAGE_SIZE,
		.lkey = conn->slots.mr->lkey,
	};
	struct ibv_recv_wr wr = {
		.wr_id = verbs_wr_id(VERBS_CONTROL_RX, 0, slot), .sg_list = &sge, .num_sge = 1};
	struct ibv_recv_wr *bad;
	return ibv_post_recv(conn->id->qp, &wr, &bad) ? RAMET_EIO : 0;
}

int verbs_control_init(struct verbs_conn *conn)
{
	int rc = 0;
	for (uint32_t slot = 0; rc == 0 && slot < VERBS_WINDOW; slot++)
		rc = control_receive(conn, slot);
	return rc;
}

static int control_send(struct verbs_conn *conn, struct verbs_message *message)
{
	struct verbs_control *control = &conn->control;
	uint32_t slot = control->sent % VERBS_WINDOW;
	unsigned char *at = conn->slots.control_tx + (size_t)slot * VERBS_MESSAGE_SIZE;
	message->received = control->received;
	message->lane_received = conn->in.received;
	message->revoked = conn->revoke.free;
	verbs_message_encode(message, at);
	struct ibv_sge sge = {(uintptr_t)at, VERBS_MESSAGE_SIZE, conn->slots.mr->lkey};
	struct ibv_send_wr wr = {
		.wr_id = verbs_wr_id(VERBS_CONTROL_TX, 0, slot),
		.sg_list = &sge,
		.num_sge = 1,
		.opcode = IBV_WR_SEND,
		.send_flags = IBV_SEND_SIGNALED,
	};
	struct ibv_send_wr *bad;
	if (ibv_post_send(conn->id->qp, &wr, &bad))
		return RAMET_EIO;
	control->sent++;
	control->told = control->received;
	control->owe_ping = false;
	conn->in.told = conn->in.received;
	conn->pulse.tx_ns = now_ns();
	return 0;
}

/* whether everything that was posted before our own close has ended */
static bool ready_for_bye(const struct verbs_conn *conn)
{
	return conn->base.state == CONN_CLOSING && conn->out.done == conn->out.posted;
}

static bool control_next(struct verbs_conn *conn, struct verbs_message *message)
{
	*message = (struct verbs_message){0};
	if (conn->in.ready_owed) {
		conn->in.ready_owed = false;
		message->type = VERBS_LANE_READY;
		message->lane = conn->in.end;
		message->verdict = conn->in.verdict;
	} else if (conn->out.open_owed) {
		const struct verbs_op *op = &conn->out.ops[conn->out.suspect & conn->out.mask];
		conn->out.open_owed = false;
		message->type = VERBS_LANE_OPEN;
		message->lane = conn->out.end;
		if (conn->out.suspected && op->request.op != TRANSPORT_SEND && op->request.len > 0)
			message->suspect = (struct verbs_suspect){
				.any = true,
				.write = op->request.op != TRANSPORT_READ,
				.len = op->request.len,
				.ref = op->request.ref,
			};
	} else if (verbs_revoke_next(conn, message)) {
		message->type = VERBS_REVOKE;
	} else if (ready_for_bye(conn)) {
		message->type = VERBS_BYE;
		conn->control.bye_sent = true;
		conn->control.bye = conn->control.sent + 1;
	} else if (conn->control.owe_ping) {
		message->type = VERBS_PING;
	} else {
		return false;
	}
	return true;
}

void verbs_control_flush(struct verbs_conn *conn)
{
	struct verbs_control *control = &conn->control;
	struct verbs_message message;
	if (control->received - control->told >= VERBS_WINDOW / 2 ||
		conn->in.received - conn->in.told >= VERBS_SLOTS / 2)
		control->owe_ping = true;
	int rc = 0;
	while (rc == 0 && !control->bye_sent && control->sent - control->acked < VERBS_WINDOW - 1 &&
		control->sent - control->completed < VERBS_WINDOW - 1 &&
		control_next(conn, &message))
		rc = control_send(conn, &message);
	if (rc == 0 && !control->bye_sent &&
		control->received - control->told >= VERBS_WINDOW / 2 &&
		control->sent - control->acked < VERBS_WINDOW &&
		control->sent - control->completed < VERBS_WINDOW) {
		message = (struct verbs_message){.type = VERBS_PING};
		rc = control_send(conn, &message);
	}
	if (rc < 0)
		verbs_conn_fail(conn, RAMET_EPEER, "the control queue pair takes no message");
}

void verbs_control_on_tx(struct verbs_conn *conn, const struct ibv_wc *wc)
{
	struct verbs_control *control = &conn->control;
	control->completed++;
	/* after a goodbye the peer hangs up, perhaps before its device has said that it came */
	bool said = control->bye_sent && !verbs_after(control->bye, control->completed);
	if (said || (control->bye_sent && wc->status != IBV_WC_SUCCESS))
		verbs_conn_fail(conn, RAMET_ECLOSED, "closed");
	else if (wc->status != IBV_WC_SUCCESS)
		verbs_conn_fail(
			conn, RAMET_EPEER, "control message: %s", ibv_wc_status_str(wc->status));
}

/* the counters that every message has; they may only grow, and not beyond what there was */
static int counters_take(struct verbs_conn *conn, const struct verbs_message *m)
{
	struct verbs_control *control = &conn->control;
	struct verbs_out *out = &conn->out;
	if (m->received - control->acked > control->sent - control->acked)
		return RAMET_EPROTO;
	control->acked = m->received;
	uint32_t limit = m->lane_received + VERBS_SLOTS;
	if (verbs_after(m->lane_received, out->messages) || verbs_after(out->limit, limit))
		return RAMET_EPROTO;
	out->limit = limit;
	return verbs_revoke_on_acked(conn, m->revoked);
}

static void message_handle(struct verbs_conn *conn, const struct verbs_message *message)
{
	switch (message->type) {
	case VERBS_PING:
		break;
	case VERBS_LANE_OPEN:
		verbs_in_on_open(conn, message);
		break;
	case VERBS_LANE_READY:
		verbs_lane_on_ready(conn, message);
		break;
	case VERBS_REVOKE:
		verbs_revoke_on_message(conn, message);
		break;
	case VERBS_BYE:
		verbs_conn_fail(conn, RAMET_ECLOSED, "the peer closed the connection");
		break;
	}
}

void verbs_control_on_rx(struct verbs_conn *conn, const struct ibv_wc *wc)
{
	if (wc->status != IBV_WC_SUCCESS) {
		verbs_conn_fail(
			conn, RAMET_EPEER, "control queue pair: %s", ibv_wc_status_str(wc->status));
		return;
	}
	uint32_t slot = (uint32_t)wc->wr_id;
	const unsigned char *bytes = conn->slots.control_rx + (size_t)slot * VERBS_MESSAGE_SIZE;
	struct verbs_message message;
	int rc = verbs_message_parse(bytes, wc->byte_len, &message);
	conn->pulse.rx_ns = now_ns();
	conn->control.received++;
	if (rc == 0)
		rc = control_receive(conn, slot);
	if (rc == 0 && conn->phase == VERBS_ACCEPTED)
		verbs_conn_open(conn); /* the peer has connected, then: its messages say so first */
	if (rc == 0 && conn->phase == VERBS_OPEN)
		rc = counters_take(conn, &message);
	if (rc < 0)
		verbs_conn_fail(conn, rc, "a control message: %s", err_text(rc));
	else if (conn->phase == VERBS_OPEN)
		message_handle(conn, &message);
}
