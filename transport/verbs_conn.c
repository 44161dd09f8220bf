/* A `verbs` connection's life: what it needs from the device, opening, heartbeats, close, death. */
#include "base/clock.h"
#include "transport/verbs.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>

#define MEMORY_ALIGN 4096
#define GOODBYE_NS (100 * NSEC_PER_MSEC) /* transport_close() waits so long, for all together */

struct verbs_conn *verbs_conn_new(void)
{
	struct verbs_conn *conn = calloc(1, sizeof(*conn));
	if (!conn)
		return NULL;
	list_init(&conn->dirty);
	list_init(&conn->revoke.queue);
	conn->pulse.since_ns = now_ns();
	return conn;
}

/* in this order: nothing touches memory any more when its registration goes */
static void device_parts_free(struct verbs_conn *conn)
{
	verbs_qp_destroy(&conn->out.qp);
	verbs_qp_destroy(&conn->in.qp);
	if (conn->id && conn->id->qp)
		rdma_destroy_qp(conn->id);
	if (conn->id)
		rdma_destroy_id(conn->id); /* tells the peer, if it was connected */
	conn->id = NULL;
	verbs_cq_fini(conn);
	if (conn->slots.mr)
		ibv_dereg_mr(conn->slots.mr);
	conn->slots.mr = NULL;
	verbs_pd_put(conn->pd);
	conn->pd = NULL;
}

void verbs_conn_free(struct transport_conn *base)
{
	struct verbs_conn *conn = verbs_conn(base);
	device_parts_free(conn);
	list_remove(&conn->dirty);
	verbs_out_fini(&conn->out);
	free(conn->slots.memory);
	free(conn);
}

static int slots_init(struct verbs_slots *slots, struct ibv_pd *pd, struct ramet_err *err)
{
	const size_t control = (size_t)VERBS_WINDOW * VERBS_MESSAGE_SIZE;
	const size_t lane = (size_t)VERBS_SLOTS * TRANSPORT_SEND_MAX;
	size_t len = 2 * lane + 2 * control;
	len = (len + MEMORY_ALIGN - 1) / MEMORY_ALIGN * MEMORY_ALIGN;
	slots->memory = aligned_alloc(MEMORY_ALIGN, len);
	if (!slots->memory)
		return err_nomem(err);
	slots->lane_tx = slots->memory;
	slots->lane_rx = slots->lane_tx + lane;
	slots->control_tx = slots->lane_rx + lane;
	slots->control_rx = slots->control_tx + control;
	slots->mr = ibv_reg_mr(pd, slots->memory, len, IBV_ACCESS_LOCAL_WRITE);
	return slots->mr ? 0 : err_errno(err, RAMET_ELIMIT, "register %zu bytes", len);
}

int verbs_conn_prepare(struct verbs_conn *conn, struct transport_domain *domain,
	const struct transport_options *options, struct ramet_err *err)
{
	struct verbs_transport *vt = verbs_transport(domain->transport);
	int rc = verbs_pd_get(vt, domain, &conn->pd, err);
	if (rc == 0)
		rc = slots_init(&conn->slots, conn->pd->pd, err);
	if (rc < 0)
		return rc;
	conn->out.wr_cap =
		MIN(MIN(options->queue_depth, VERBS_WRS_MAX), vt->device.limits.max_send_wr);
	rc = verbs_cq_init(conn, vt->channel, err);
	if (rc < 0)
		return rc;
	struct ibv_qp_init_attr attr = {
		.send_cq = conn->cq.cq,
		.recv_cq = conn->cq.cq,
		.cap = {.max_send_wr = VERBS_WINDOW,
			.max_recv_wr = VERBS_WINDOW,
			.max_send_sge = 1,
			.max_recv_sge = 1},
		.qp_type = IBV_QPT_RC,
	};
	if (rdma_create_qp(conn->id, conn->pd->pd, &attr) < 0)
		return err_errno(err, RAMET_ELIMIT, "control queue pair");
	rc = verbs_control_init(conn);
	return rc < 0 ? err_set(err, rc, "control queue pair: no receives") : 0;
}

void verbs_conn_agree(struct verbs_conn *conn, unsigned depth, unsigned timeout_ms)
{
	conn->depth = depth;
	pulse_agree(&conn->pulse, timeout_ms);
}

void verbs_conn_open(struct verbs_conn *conn)
{
	struct transport *t = conn->base.transport;
	struct ramet_err err = {0};
	bool connecting = conn->phase == VERBS_CONNECT;
	int rc = verbs_path_learn(conn, &err);
	if (rc == 0)
		rc = verbs_out_init(&conn->out, conn->depth, &verbs_transport(t)->device.limits);
	conn->phase = VERBS_OPEN;
	pulse_open(&conn->pulse, t);
	verbs_conn_mark(conn);
	if (rc == 0 && connecting) /* who was connected to may never ask for anything */
		rc = verbs_lane_open(conn);
	if (rc == 0)
		rc = transport_conn_opened(&conn->base, conn->depth);
	if (rc < 0)
		verbs_conn_fail(conn, rc, "open: %s", err.msg[0] ? err.msg : err_text(rc));
}

void verbs_conn_fail(struct verbs_conn *conn, int code, const char *fmt, ...)
{
	if (conn->phase == VERBS_ENDED)
		return;
	conn->phase = VERBS_ENDED;
	list_remove(&conn->dirty);
	device_parts_free(conn);
	verbs_out_fail_all(conn, code);
	verbs_revoke_end(conn);

	va_list ap;
	va_start(ap, fmt);
	transport_conn_failed(&conn->base, code, fmt, ap);
	va_end(ap);
}

void verbs_conn_mark(struct verbs_conn *conn)
{
	if (conn->phase == VERBS_ENDED || !list_empty(&conn->dirty))
		return;
	list_append(&verbs_transport(conn->base.transport)->dirty, &conn->dirty);
	transport_kick(conn->base.transport);
}

void verbs_conn_flush(struct verbs_conn *conn, bool sleeps)
{
	list_remove(&conn->dirty);
	if (conn->begin_errno) {
		verbs_conn_fail(
			conn, RAMET_EPEER, "connect: %s", strerrordesc_np(conn->begin_errno));
		return;
	}
	if (conn->phase == VERBS_OPEN)
		verbs_out_pump(conn);
	if (conn->phase == VERBS_OPEN)
		verbs_control_flush(conn);
	if (conn->phase == VERBS_ENDED)
		return;
	if (!list_empty(&conn->dirty)) /* it goes on at once */
		verbs_cq_poll(conn);
	else if (sleeps)
		verbs_cq_arm(conn);
	else if (verbs_cq_must_arm(conn))
		verbs_conn_mark(conn);
}

/* --- ends and time --- */

void verbs_conn_close(struct transport_conn *base)
{
	struct verbs_conn *conn = verbs_conn(base);
	conn->pulse.since_ns = now_ns();
	if (conn->phase == VERBS_OPEN)
		verbs_conn_mark(conn);
	else
		verbs_conn_fail(conn, RAMET_ECLOSED, "closed while connecting");
}

void verbs_conn_abort(struct transport_conn *base)
{
	struct verbs_conn *conn = verbs_conn(base);
	struct verbs_transport *vt = verbs_transport(base->transport);
	if (conn->phase == VERBS_OPEN) {
		/* the peer learns that this is no crash, if its device takes the message in time */
		verbs_qp_destroy(&conn->out.qp);
		verbs_out_fail_all(conn, RAMET_ECLOSED);
		verbs_control_flush(conn);
		if (vt->bye_deadline_ns == 0)
			vt->bye_deadline_ns = now_ns() + GOODBYE_NS;
	}
	while (conn->phase == VERBS_OPEN && now_ns() < vt->bye_deadline_ns) {
		if (verbs_cq_poll(conn) == 0)
			sched_yield();
		else if (conn->phase == VERBS_OPEN)
			verbs_control_flush(conn);
	}
	verbs_conn_fail(conn, RAMET_ECLOSED, "the transport was closed");
}

void verbs_conn_tick(struct verbs_conn *conn, uint64_t now)
{
	struct ramet_err err = {0};
	pulse_excuse(&conn->pulse, conn->base.transport->stood_ns, now);
	if (conn->phase == VERBS_OPEN && pulse_silent(&conn->pulse, now))
		verbs_cq_poll(conn);
	if (conn->phase == VERBS_ENDED)
		return;
	bool open = conn->phase == VERBS_OPEN;
	int rc = pulse_check(&conn->pulse, &conn->base, open, now, &err);
	if (rc < 0) {
		verbs_conn_fail(conn, rc, "%s", err.msg);
	} else if (open && verbs_revoke_overdue(conn, now)) {
		verbs_conn_fail(
			conn, RAMET_EPEER, "it does not let go of a segment that has ended");
	} else if (open && pulse_due(&conn->pulse, now)) {
		conn->control.owe_ping = true;
		verbs_conn_mark(conn);
	}
}
