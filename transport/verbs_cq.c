/* Completions: two queues a connection, one event channel a transport. Handlers run from here.
 *
 * Our lane has a queue of its own, so that a READ whose answer is polled for raises no event: that
 * queue is armed only when the loop goes to sleep with something in flight. */
#include "base/clock.h"
#include "transport/verbs.h"

#include <errno.h>
#include <fcntl.h>

#define WCS_AT_ONCE 32
#define WCS_PER_POLL 1024 /* then others get their turn */

static void wc_handle(struct verbs_conn *conn, const struct ibv_wc *wc)
{
	if (wc->status == IBV_WC_SUCCESS)
		pulse_answered(
			&conn->pulse, now_ns()); /* what is sent ends when it is acknowledged */
	switch ((enum verbs_wr_kind)(wc->wr_id >> 56)) {
	case VERBS_CONTROL_TX:
		verbs_control_on_tx(conn, wc);
		break;
	case VERBS_CONTROL_RX:
		verbs_control_on_rx(conn, wc);
		break;
	case VERBS_OUT:
		verbs_out_on_wc(conn, wc);
		break;
	case VERBS_IN:
		verbs_in_on_wc(conn, wc);
		break;
	}
}

static int cq_create(struct verbs_cq *cq, struct verbs_conn *conn, struct ibv_comp_channel *channel,
	unsigned entries, struct ramet_err *err)
{
	cq->conn = conn;
	cq->cq = ibv_create_cq(conn->id->verbs, (int)entries, cq, channel, 0);
	return cq->cq ? 0 : err_errno(err, RAMET_ELIMIT, "completion queue of %u entries", entries);
}

int verbs_cq_init(struct verbs_conn *conn, struct ibv_comp_channel *channel, struct ramet_err *err)
{
	unsigned messages = VERBS_SLOTS + 2 * VERBS_WINDOW + 2;
	int rc = cq_create(&conn->cq, conn, channel, messages, err);
	if (rc == 0)
		rc = cq_create(&conn->out_cq, conn, channel, conn->out.wr_cap + 2, err);
	return rc;
}

void verbs_cq_fini(struct verbs_conn *conn)
{
	if (conn->cq.cq)
		ibv_destroy_cq(conn->cq.cq);
	if (conn->out_cq.cq)
		ibv_destroy_cq(conn->out_cq.cq);
	conn->cq.cq = conn->out_cq.cq = NULL;
}

static unsigned poll_queue(struct verbs_conn *conn, const struct verbs_cq *cq)
{
	unsigned taken = 0;
	while (cq->cq && taken < WCS_PER_POLL) {
		struct ibv_wc wcs[WCS_AT_ONCE];
		int n = ibv_poll_cq(cq->cq, WCS_AT_ONCE, wcs);
		if (n < 0)
			verbs_conn_fail(conn, RAMET_EIO, "the completion queue is broken");
		if (n <= 0)
			break;
		for (int i = 0; i < n && conn->phase != VERBS_ENDED; i++)
			wc_handle(conn, &wcs[i]);
		taken += (unsigned)n;
	}
	return taken;
}

/* our lane first: what has been read is told before a message says that the peer goes */
unsigned verbs_cq_poll(struct verbs_conn *conn)
{
	unsigned taken = poll_queue(conn, &conn->out_cq);
	taken += poll_queue(conn, &conn->cq);
	if (taken > 0)
		verbs_conn_mark(conn); /* room for more, something to answer */
	return taken;
}

static bool out_must_arm(const struct verbs_conn *conn)
{
	return conn->out_cq.cq && !conn->out_cq.armed && conn->out.wr_done != conn->out.wr_posted;
}

bool verbs_cq_must_arm(const struct verbs_conn *conn)
{
	return (conn->cq.cq && !conn->cq.armed) || out_must_arm(conn);
}

static void arm(struct verbs_conn *conn, struct verbs_cq *cq)
{
	int error = ibv_req_notify_cq(cq->cq, 0);
	cq->armed = error == 0;
	if (error)
		verbs_conn_fail(
			conn, RAMET_EIO, "arm the completion queue: %s", strerrordesc_np(error));
}

void verbs_cq_arm(struct verbs_conn *conn)
{
	if (!verbs_cq_must_arm(conn))
		return;
	if (out_must_arm(conn))
		arm(conn, &conn->out_cq);
	if (conn->cq.cq && !conn->cq.armed)
		arm(conn, &conn->cq);
	verbs_cq_poll(conn); /* what came before they were armed raises no event */
}

static void channel_on_event(struct loop_watch *watch, uint32_t events)
{
	struct verbs_transport *vt = container_of(watch, struct verbs_transport, channel_watch);
	struct ibv_cq *cq;
	void *context;
	while (ibv_get_cq_event(vt->channel, &cq, &context) == 0) {
		struct verbs_cq *from = context;
		ibv_ack_cq_events(cq, 1); /* before it may be destroyed */
		from->armed = false;
		verbs_cq_poll(from->conn);
		verbs_conn_mark(from->conn);
	}
	transport_dispatch(&vt->base);
}

int verbs_cq_open(struct verbs_transport *vt, struct loop *loop, struct ramet_err *err)
{
	vt->channel = ibv_create_comp_channel(vt->device.context);
	if (!vt->channel || fcntl(vt->channel->fd, F_SETFL, O_NONBLOCK) < 0)
		return err_errno(err, RAMET_EIO, "completion channel");
	return loop_watch_add(
		loop, &vt->channel_watch, vt->channel->fd, EPOLLIN, channel_on_event, err);
}

void verbs_cq_close(struct verbs_transport *vt)
{
	loop_watch_remove(&vt->channel_watch);
	if (vt->channel)
		ibv_destroy_comp_channel(vt->channel);
}
