/* Completions: one queue a connection, one event channel a transport. Handlers run from here. */
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

unsigned verbs_cq_poll(struct verbs_conn *conn)
{
	unsigned taken = 0;
	while (conn->cq && taken < WCS_PER_POLL) {
		struct ibv_wc wcs[WCS_AT_ONCE];
		int n = ibv_poll_cq(conn->cq, WCS_AT_ONCE, wcs);
		if (n < 0)
			verbs_conn_fail(conn, RAMET_EIO, "the completion queue is broken");
		if (n <= 0)
			break;
		for (int i = 0; i < n && conn->phase != VERBS_ENDED; i++)
			wc_handle(conn, &wcs[i]);
		taken += (unsigned)n;
	}
	if (taken > 0)
		verbs_conn_mark(conn); /* room for more, something to answer */
	return taken;
}

void verbs_cq_arm(struct verbs_conn *conn)
{
	if (conn->armed || !conn->cq)
		return;
	int error = ibv_req_notify_cq(conn->cq, 0);
	if (error) {
		verbs_conn_fail(
			conn, RAMET_EIO, "arm the completion queue: %s", strerrordesc_np(error));
		return;
	}
	conn->armed = true;
	verbs_cq_poll(conn); /* what came before it was armed raises no event */
}

static void channel_on_event(struct loop_watch *watch, uint32_t events)
{
	struct verbs_transport *vt = container_of(watch, struct verbs_transport, channel_watch);
	struct ibv_cq *cq;
	void *context;
	while (ibv_get_cq_event(vt->channel, &cq, &context) == 0) {
		struct verbs_conn *conn = context;
		ibv_ack_cq_events(cq, 1); /* before it may be destroyed */
		conn->armed = false;
		verbs_cq_poll(conn);
		verbs_conn_mark(conn);
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
