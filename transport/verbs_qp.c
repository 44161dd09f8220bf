/* Queue pairs of lanes: their states and attributes. The way to the peer is that of the control
 * queue pair; what options ask for is put on top. */
#include "base/clock.h"
#include "transport/verbs.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

#define ACK_TIMEOUT_UNIT_NS 4096
#define ACK_TIMEOUT_MIN 8 /* 1 ms */
#define ACK_TIMEOUT_MAX 20 /* 4 s */
#define RNR_TIMER 12 /* 0.64 ms */

uint8_t verbs_qp_timeout(uint64_t ns)
{
	uint8_t exponent = ACK_TIMEOUT_MIN;
	while (exponent < ACK_TIMEOUT_MAX &&
		(VERBS_RETRIES + 1) * ((uint64_t)ACK_TIMEOUT_UNIT_NS << exponent) < ns)
		exponent++;
	return exponent;
}

int verbs_path_learn(struct verbs_conn *conn, struct ramet_err *err)
{
	const struct transport_options *options = &conn->base.transport->options;
	struct ibv_qp_attr init = {.qp_state = IBV_QPS_INIT}, rtr = {.qp_state = IBV_QPS_RTR};
	int mask;
	if (rdma_init_qp_attr(conn->id, &init, &mask) < 0 ||
		rdma_init_qp_attr(conn->id, &rtr, &mask) < 0)
		return err_errno(err, RAMET_EIO, "attributes of the control queue pair");
	conn->path = rtr;
	conn->path.pkey_index = init.pkey_index;
	conn->path.port_num = init.port_num;
	while (options->mtu && conn->path.path_mtu > IBV_MTU_256 &&
		128u << conn->path.path_mtu > options->mtu)
		conn->path.path_mtu--;
	if (options->service_level)
		conn->path.ah_attr.sl = (uint8_t)options->service_level;
	if (options->traffic_class)
		conn->path.ah_attr.grh.traffic_class = (uint8_t)options->traffic_class;
	if (options->gid_index)
		conn->path.ah_attr.grh.sgid_index = (uint8_t)options->gid_index;
	return 0;
}

static int end_fill(struct verbs_conn *conn, const struct ibv_qp *qp, struct verbs_lane_end *end)
{
	end->qpn = qp->qp_num;
	if (getrandom(&end->psn, sizeof(end->psn), 0) != sizeof(end->psn))
		return -1;
	end->psn &= 0xffffff;
	if (end->mtu == 0 || end->mtu > conn->path.path_mtu)
		end->mtu = conn->path.path_mtu;
	memset(end->gid, 0, sizeof(end->gid));
	if (!conn->path.ah_attr.is_global)
		return 0;
	union ibv_gid gid;
	if (ibv_query_gid(conn->id->verbs, conn->path.port_num, conn->path.ah_attr.grh.sgid_index,
		    &gid) < 0)
		return -1;
	memcpy(end->gid, gid.raw, sizeof(end->gid));
	return 0;
}

int verbs_qp_create(struct verbs_conn *conn, bool requester, struct ibv_qp **ret_qp,
	struct verbs_lane_end *io_end)
{
	struct ibv_qp_init_attr attr = {
		.send_cq = requester ? conn->out_cq.cq : conn->cq.cq,
		.recv_cq = requester ? conn->out_cq.cq : conn->cq.cq,
		.cap = {.max_send_wr = requester ? conn->out.wr_cap : 1,
			.max_recv_wr = requester ? 1 : VERBS_SLOTS,
			.max_send_sge = 1,
			.max_recv_sge = 1},
		.qp_type = IBV_QPT_RC,
		.sq_sig_all = 1,
	};
	struct ibv_qp *qp = ibv_create_qp(conn->pd->pd, &attr);
	if (!qp)
		return -1;
	struct ibv_qp_attr init = {
		.qp_state = IBV_QPS_INIT,
		.pkey_index = conn->path.pkey_index,
		.port_num = conn->path.port_num,
		.qp_access_flags = requester
			? 0u
			: (unsigned)(IBV_ACCESS_REMOTE_READ | IBV_ACCESS_REMOTE_WRITE),
	};
	int error = ibv_modify_qp(
		qp, &init, IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_ACCESS_FLAGS);
	if (error || end_fill(conn, qp, io_end) < 0) {
		ibv_destroy_qp(qp);
		errno = error ? error : errno;
		return -1;
	}
	*ret_qp = qp;
	return 0;
}

int verbs_qp_connect(struct verbs_conn *conn, struct ibv_qp *qp, bool requester,
	const struct verbs_lane_end *ours, const struct verbs_lane_end *theirs)
{
	static const uint8_t as_control[VERBS_GID_SIZE];
	struct ibv_qp_attr rtr = {
		.qp_state = IBV_QPS_RTR,
		.ah_attr = conn->path.ah_attr,
		.path_mtu = (enum ibv_mtu)(requester ? theirs->mtu : ours->mtu),
		.dest_qp_num = theirs->qpn,
		.rq_psn = theirs->psn,
		.max_dest_rd_atomic = (uint8_t)(requester ? 0 : ours->rd_atomic),
		.min_rnr_timer = RNR_TIMER,
	};
	if (rtr.ah_attr.is_global && memcmp(theirs->gid, as_control, sizeof(as_control)) != 0)
		memcpy(rtr.ah_attr.grh.dgid.raw, theirs->gid, VERBS_GID_SIZE);
	int error = ibv_modify_qp(qp, &rtr,
		IBV_QP_STATE | IBV_QP_AV | IBV_QP_PATH_MTU | IBV_QP_DEST_QPN | IBV_QP_RQ_PSN |
			IBV_QP_MAX_DEST_RD_ATOMIC | IBV_QP_MIN_RNR_TIMER);
	if (error == 0 && requester) {
		struct ibv_qp_attr rts = {
			.qp_state = IBV_QPS_RTS,
			.timeout = verbs_qp_timeout(conn->pulse.timeout_ns / 2),
			.retry_cnt = VERBS_RETRIES,
			.rnr_retry = VERBS_RNR_RETRIES,
			.sq_psn = ours->psn,
			.max_rd_atomic = (uint8_t)theirs->rd_atomic,
		};
		error = ibv_modify_qp(qp, &rts,
			IBV_QP_STATE | IBV_QP_TIMEOUT | IBV_QP_RETRY_CNT | IBV_QP_RNR_RETRY |
				IBV_QP_SQ_PSN | IBV_QP_MAX_QP_RD_ATOMIC);
	}
	errno = error;
	return error ? -1 : 0;
}

void verbs_qp_to_error(struct ibv_qp *qp)
{
	struct ibv_qp_attr attr = {.qp_state = IBV_QPS_ERR};
	if (qp)
		(void)ibv_modify_qp(qp, &attr, IBV_QP_STATE); /* it may be there already */
}

void verbs_qp_destroy(struct ibv_qp **io_qp)
{
	if (*io_qp)
		ibv_destroy_qp(*io_qp);
	*io_qp = NULL;
}
