/* The peer's lane: our device serves its reads and writes by itself; here are the receives for its
 * sends and doorbells, and the making of our end. */
#include "base/clock.h"
#include "transport/segment_table.h"
#include "transport/verbs.h"

#include <arpa/inet.h>
#include <errno.h>

static unsigned char *slot_at(const struct verbs_conn *conn, uint32_t slot)
{
	return conn->slots.lane_rx + (size_t)slot * TRANSPORT_SEND_MAX;
}

static int in_receive(struct verbs_conn *conn, uint32_t slot)
{
	struct ibv_sge sge = {
		(uintptr_t)slot_at(conn, slot), TRANSPORT_SEND_MAX, conn->slots.mr->lkey};
	struct ibv_recv_wr wr = {
		.wr_id = verbs_wr_id(VERBS_IN, conn->in.end.epoch, slot),
		.sg_list = &sge,
		.num_sge = 1,
	};
	struct ibv_recv_wr *bad;
	if (ibv_post_recv(conn->in.qp, &wr, &bad))
		return -1;
	conn->in.posted++;
	return 0;
}

/* what the peer did: may it? */
static int verdict_on(const struct verbs_conn *conn, const struct verbs_suspect *suspect)
{
	struct transport_segment *segment;
	if (!suspect->any)
		return 0;
	return segment_table_find(conn->base.transport->table, conn->base.domain->id, suspect->ref,
		suspect->len, suspect->write, &segment);
}

/* the old end is gone, and everything that it received was counted */
static void in_open(struct verbs_conn *conn)
{
	struct verbs_in *in = &conn->in;
	const struct verbs_limits *limits = &verbs_transport(conn->base.transport)->device.limits;
	const struct verbs_message asked = in->asked;
	in->asked.type = (enum verbs_message_type)0;
	in->end.epoch = asked.lane.epoch;
	in->end.mtu = asked.lane.mtu;
	in->end.rd_atomic = MIN(asked.lane.rd_atomic, limits->max_peer_reads);
	in->posted = in->completed = 0;
	int rc = verbs_qp_create(conn, false, &in->qp, &in->end);
	for (uint32_t slot = 0; rc == 0 && slot < VERBS_SLOTS; slot++)
		rc = in_receive(conn, slot);
	if (rc == 0)
		rc = verbs_qp_connect(conn, in->qp, false, &in->end, &asked.lane);
	if (rc < 0) {
		verbs_conn_fail(conn, RAMET_EPEER, "the peer's lane: %s", strerrordesc_np(errno));
		return;
	}
	in->verdict = verdict_on(conn, &asked.suspect);
	in->ready_owed = true;
	verbs_conn_mark(conn);
}

static void in_check_drained(struct verbs_conn *conn)
{
	if (!conn->in.asked.type || conn->in.posted != conn->in.completed)
		return;
	verbs_qp_destroy(&conn->in.qp);
	in_open(conn);
}

void verbs_in_on_open(struct verbs_conn *conn, const struct verbs_message *message)
{
	struct verbs_in *in = &conn->in;
	if (in->asked.type || message->lane.epoch != in->end.epoch + 1) {
		verbs_conn_fail(conn, RAMET_EPROTO, "a lane asked for out of turn");
		return;
	}
	in->asked = *message;
	verbs_qp_to_error(in->qp);
	in_check_drained(conn);
}

void verbs_in_on_wc(struct verbs_conn *conn, const struct ibv_wc *wc)
{
	struct verbs_in *in = &conn->in;
	uint32_t slot = (uint32_t)wc->wr_id;
	if ((wc->wr_id >> 32 & 0xffffff) != (in->end.epoch & 0xffffff) ||
		in->posted == in->completed)
		return; /* of a lane that is gone */
	in->completed++;
	if (wc->status != IBV_WC_SUCCESS) {
		in_check_drained(conn); /* the peer asks for a new one, in its time */
		return;
	}
	in->received++;
	conn->pulse.rx_ns = now_ns();
	if (wc->opcode == IBV_WC_RECV_RDMA_WITH_IMM)
		transport_doorbell(&conn->base, ntohl(wc->imm_data));
	else
		transport_message(&conn->base, slot_at(conn, slot), wc->byte_len);
	if (conn->phase != VERBS_OPEN)
		return;
	if (in->asked.type)
		in_check_drained(conn);
	else if (in_receive(conn, slot) < 0)
		verbs_conn_fail(conn, RAMET_EIO, "the peer's lane takes no receives");
}
