/* The `tcp` provider: one-sided reads and writes by asking the peer's data loop, which answers from
 * segment memory without asking anybody. The default where there is no RDMA device. */
#include "transport/tcp.h"
#include "transport/provider.h"
#include "transport/segment_table.h"

#include <stdlib.h>

static int tcp_open(struct loop *loop, const struct transport_options *options,
	struct segment_table *table, struct transport **ret_transport, struct ramet_err *err)
{
	struct tcp_transport *tt = calloc(1, sizeof(*tt));
	if (!tt)
		return err_nomem(err);
	list_init(&tt->dirty);
	list_init(&tt->guests);
	*ret_transport = &tt->base;
	return 0;
}

static void tcp_close(struct transport *t)
{
	free(tcp_transport(t));
}

static void tcp_flush(struct transport *t, bool sleeps)
{
	(void)sleeps;
	struct tcp_transport *tt = tcp_transport(t);
	while (!list_empty(&tt->dirty))
		tcp_conn_flush(list_first(&tt->dirty, struct tcp_conn, dirty));
}

static void tcp_poll(struct transport *t)
{
	list_for_each (conn, &t->conns, struct transport_conn, link) {
		if (tcp_conn(conn)->phase == TCP_FRAMES)
			tcp_conn_receive(tcp_conn(conn));
	}
}

static void tcp_tick(struct transport *t, uint64_t now)
{
	tcp_guests_tick(tcp_transport(t), now);
	list_for_each (conn, &t->conns, struct transport_conn, link)
		tcp_conn_tick(tcp_conn(conn), now);
}

static int tcp_post(struct transport_conn *conn, const struct transport_request *request)
{
	return tcp_tx_post(tcp_conn(conn), request);
}

static int tcp_segment_add(struct transport_segment *segment, struct ramet_err *err)
{
	if (segment->flags & TRANSPORT_SEGMENT_LOCAL)
		return 0;
	return segment_table_add(segment->domain->transport->table, segment, err);
}

static void tcp_segment_remove(struct transport_segment *segment)
{
	struct transport *t = segment->domain->transport;
	segment_table_remove(t->table, segment);
	list_for_each (base, &t->conns, struct transport_conn, link) {
		struct tcp_conn *conn = tcp_conn(base);
		tcp_rx_segment_removed(conn, segment);
		if (tcp_tx_segment_removed(conn, segment) < 0)
			tcp_conn_fail(conn, RAMET_ENOMEM, "out of memory");
	}
	transport_segment_unreachable(segment);
}

const struct transport_ops transport_tcp = {
	.name = "tcp",
	.open = tcp_open,
	.close = tcp_close,
	.flush = tcp_flush,
	.poll = tcp_poll,
	.tick = tcp_tick,
	.listen = tcp_listen,
	.listener_close = tcp_listener_close,
	.connect = tcp_connect,
	.conn_close = tcp_conn_close,
	.conn_abort = tcp_conn_abort,
	.conn_free = tcp_conn_free,
	.post = tcp_post,
	.segment_add = tcp_segment_add,
	.segment_remove = tcp_segment_remove,
};
