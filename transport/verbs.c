/* The `verbs` provider: one-sided operations by the network adapter, over InfiniBand and RoCE. Here
 * are its ops and the turn of the loop; verbs.h tells where the rest is. */
#include "transport/verbs.h"

#include <stdlib.h>

static void verbs_close(struct transport *t)
{
	struct verbs_transport *vt = verbs_transport(t);
	verbs_cq_close(vt);
	verbs_cm_close(vt);
	free(vt);
}

static int verbs_open(struct loop *loop, const struct transport_options *options,
	struct segment_table *table, struct transport **ret_transport, struct ramet_err *err)
{
	struct verbs_transport *vt = calloc(1, sizeof(*vt));
	if (!vt)
		return err_nomem(err);
	list_init(&vt->pds);
	list_init(&vt->dirty);
	int rc = verbs_device_choose(options, &vt->device, err);
	if (rc == 0)
		rc = verbs_cm_open(vt, loop, err);
	if (rc == 0)
		rc = verbs_cq_open(vt, loop, err);
	if (rc < 0) {
		verbs_close(&vt->base);
		return rc;
	}
	*ret_transport = &vt->base;
	return 0;
}

static const char *verbs_device_name(const struct transport *t)
{
	return container_of(t, const struct verbs_transport, base)->device.context->device->name;
}

/* Connections that flush() marks again wait for the next turn: the loop must get on. */
static void verbs_flush(struct transport *t, bool sleeps)
{
	struct verbs_transport *vt = verbs_transport(t);
	struct list now;
	list_init(&now);
	while (!list_empty(&vt->dirty))
		list_append(&now, list_pop(&vt->dirty));
	while (!list_empty(&now))
		verbs_conn_flush(list_first(&now, struct verbs_conn, dirty), sleeps);
}

static void verbs_poll(struct transport *t)
{
	list_for_each (base, &t->conns, struct transport_conn, link) {
		verbs_cq_poll(verbs_conn(base));
	}
}

static void verbs_tick(struct transport *t, uint64_t now)
{
	list_for_each (base, &t->conns, struct transport_conn, link)
		verbs_conn_tick(verbs_conn(base), now);
}

const struct transport_ops transport_verbs = {
	.name = "verbs",
	.spins = true,
	.open = verbs_open,
	.device = verbs_device_name,
	.close = verbs_close,
	.flush = verbs_flush,
	.poll = verbs_poll,
	.tick = verbs_tick,
	.listen = verbs_listen,
	.listener_close = verbs_listener_close,
	.connect = verbs_connect,
	.conn_close = verbs_conn_close,
	.conn_abort = verbs_conn_abort,
	.conn_free = verbs_conn_free,
	.post = verbs_post,
	.segment_add = verbs_segment_add,
	.segment_remove = verbs_segment_remove,
	.segment_release = verbs_segment_release,
};
