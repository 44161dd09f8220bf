/* Registration, and its end. A domain is a protection domain of the device. A segment that ends is
 * announced to the peers of its domain; when each has said that nothing of it touches the memory
 * any more, or has ended, it is deregistered: deregistering under a reader would break its lane. */
#include "base/clock.h"
#include "transport/segment_table.h"
#include "transport/verbs.h"

#include <errno.h>
#include <stdlib.h>

#define PAGE_MASK_4K 0xfffu

int verbs_pd_get(struct verbs_transport *vt, const struct transport_domain *domain,
	struct verbs_pd **ret_pd, struct ramet_err *err)
{
	list_for_each (known, &vt->pds, struct verbs_pd, link) {
		if (known->domain == domain->id) {
			known->refs++;
			*ret_pd = known;
			return 0;
		}
	}
	struct verbs_pd *pd = calloc(1, sizeof(*pd));
	if (!pd)
		return err_nomem(err);
	pd->pd = ibv_alloc_pd(vt->device.context);
	if (!pd->pd) {
		free(pd);
		return err_errno(err, RAMET_ELIMIT, "protection domain");
	}
	pd->transport = vt;
	pd->domain = domain->id;
	pd->refs = 1;
	list_append(&vt->pds, &pd->link);
	*ret_pd = pd;
	return 0;
}

void verbs_pd_put(struct verbs_pd *pd)
{
	if (!pd || --pd->refs > 0)
		return;
	list_remove(&pd->link);
	ibv_dealloc_pd(pd->pd);
	free(pd);
}

/* LOCAL: only we reach it; else at its offset in its first page, which all devices can */
static struct ibv_mr *register_memory(const struct transport_segment *segment, struct ibv_pd *pd)
{
	if (segment->flags & TRANSPORT_SEGMENT_LOCAL)
		return ibv_reg_mr(pd, segment->addr, segment->len, IBV_ACCESS_LOCAL_WRITE);
	int access = IBV_ACCESS_REMOTE_READ;
	if (segment->flags & TRANSPORT_SEGMENT_WRITE)
		access |= IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE;
	uint64_t start = (uintptr_t)segment->addr & PAGE_MASK_4K;
	return ibv_reg_mr_iova(pd, segment->addr, segment->len, start, access);
}

int verbs_segment_add(struct transport_segment *segment, struct ramet_err *err)
{
	struct transport *t = segment->domain->transport;
	struct verbs_segment *vs = calloc(1, sizeof(*vs));
	if (!vs)
		return err_nomem(err);
	segment->provider = vs;
	int rc = verbs_pd_get(verbs_transport(t), segment->domain, &vs->pd, err);
	if (rc == 0) {
		vs->mr = register_memory(segment, vs->pd->pd);
		if (!vs->mr)
			rc = err_errno(err, errno == ENOMEM ? RAMET_ELIMIT : RAMET_EIO,
				"register %zu bytes with the RDMA device (ulimit -l)",
				segment->len);
	}
	if (rc == 0 && !(segment->flags & TRANSPORT_SEGMENT_LOCAL))
		rc = segment_table_add(t->table, segment, err);
	if (rc < 0) {
		verbs_segment_release(segment);
		return rc;
	}
	if (!(segment->flags & TRANSPORT_SEGMENT_LOCAL))
		segment->key = verbs_key_make(segment->id, vs->mr->rkey,
			(uint32_t)((uintptr_t)segment->addr & PAGE_MASK_4K));
	return 0;
}

void verbs_segment_release(struct transport_segment *segment)
{
	struct verbs_segment *vs = segment->provider;
	if (vs->mr)
		ibv_dereg_mr(vs->mr);
	verbs_pd_put(vs->pd);
	free(vs);
	segment->provider = NULL;
}

/* --- as their owner --- */

static void reader_gone(struct transport_segment *segment)
{
	struct verbs_segment *vs = segment->provider;
	if (--vs->readers == 0)
		transport_segment_unreachable(segment);
}

void verbs_segment_remove(struct transport_segment *segment)
{
	struct transport *t = segment->domain->transport;
	struct verbs_segment *vs = segment->provider;
	segment_table_remove(t->table, segment);
	vs->readers = 1; /* us, until all are counted */
	list_for_each (base, &t->conns, struct transport_conn, link) {
		struct verbs_conn *conn = verbs_conn(base);
		if (conn->base.domain != segment->domain || conn->phase == VERBS_ENDED ||
			(segment->flags & TRANSPORT_SEGMENT_LOCAL))
			continue;
		struct verbs_revocation *revocation = calloc(1, sizeof(*revocation));
		if (!revocation) {
			verbs_conn_fail(conn, RAMET_ENOMEM, "out of memory");
			continue;
		}
		revocation->segment = segment;
		revocation->since_ns = now_ns();
		list_append(&conn->revoke.queue, &revocation->link);
		vs->readers++;
		verbs_conn_mark(conn);
	}
	reader_gone(segment);
}

bool verbs_revoke_next(struct verbs_conn *conn, struct verbs_message *message)
{
	struct verbs_revoke *revoke = &conn->revoke;
	uint32_t unacked = revoke->told - revoke->acked;
	list_for_each (revocation, &revoke->queue, struct verbs_revocation, link) {
		if (unacked > 0) {
			unacked--;
			continue;
		}
		message->ids[message->count++] = revocation->segment->id;
		if (message->count == VERBS_REVOKE_MAX)
			break;
	}
	revoke->told += message->count;
	return message->count > 0;
}

int verbs_revoke_on_acked(struct verbs_conn *conn, uint32_t acked)
{
	struct verbs_revoke *revoke = &conn->revoke;
	if (acked - revoke->acked > revoke->told - revoke->acked)
		return RAMET_EPROTO;
	while (revoke->acked != acked) {
		struct verbs_revocation *first =
			list_first(&revoke->queue, struct verbs_revocation, link);
		revoke->acked++;
		list_remove(&first->link);
		reader_gone(first->segment);
		free(first);
	}
	return 0;
}

bool verbs_revoke_overdue(const struct verbs_conn *conn, uint64_t now)
{
	const struct verbs_revoke *revoke = &conn->revoke;
	return !list_empty(&revoke->queue) &&
		now >= list_first(&revoke->queue, struct verbs_revocation, link)->since_ns +
			PULSE_PATIENCE * conn->pulse.timeout_ns;
}

void verbs_revoke_end(struct verbs_conn *conn)
{
	while (!list_empty(&conn->revoke.queue)) {
		struct verbs_revocation *first =
			list_first(&conn->revoke.queue, struct verbs_revocation, link);
		list_remove(&first->link);
		reader_gone(first->segment);
		free(first);
	}
}

/* --- as their reader --- */

bool verbs_revoke_knows(const struct verbs_conn *conn, uint64_t id)
{
	for (unsigned i = 0; i < conn->revoke.kept; i++) {
		if (conn->revoke.ids[i] == id)
			return true;
	}
	return false;
}

/* operations on a segment that has ended fail; whether any is in flight */
static bool fail_operations_on(struct verbs_conn *conn, uint64_t id)
{
	struct verbs_out *out = &conn->out;
	bool flying = false;
	for (uint32_t i = out->done; i != out->posted; i++) {
		struct verbs_op *op = &out->ops[i & out->mask];
		const struct transport_request *request = &op->request;
		if (request->op == TRANSPORT_SEND || request->len == 0 || request->ref.id != id)
			continue;
		if (op->status == 0)
			op->status = RAMET_EREVOKED;
		flying |= op->wrs > 0;
	}
	return flying;
}

void verbs_revoke_advance(struct verbs_conn *conn)
{
	struct verbs_revoke *revoke = &conn->revoke;
	while (revoke->barriers > 0 && !verbs_after(revoke->barrier[0], conn->out.wr_done)) {
		revoke->free = revoke->upto[0];
		revoke->barrier[0] = revoke->barrier[1];
		revoke->upto[0] = revoke->upto[1];
		revoke->barriers--;
		conn->control.owe_ping = true;
		verbs_conn_mark(conn);
	}
}

void verbs_revoke_on_message(struct verbs_conn *conn, const struct verbs_message *message)
{
	struct verbs_revoke *revoke = &conn->revoke;
	bool flying = false;
	for (uint32_t i = 0; i < message->count; i++) {
		revoke->ids[revoke->heard++ % VERBS_REVOKED_KEPT] = message->ids[i];
		revoke->kept = MIN(revoke->kept + 1, VERBS_REVOKED_KEPT);
		flying |= fail_operations_on(conn, message->ids[i]);
	}
	/* one barrier is waited for, one gathers what comes meanwhile */
	unsigned at = MIN(revoke->barriers, 1);
	if (flying)
		revoke->barrier[at] = conn->out.wr_posted;
	else if (revoke->barriers == at)
		revoke->barrier[at] = conn->out.wr_done;
	revoke->upto[at] = revoke->heard;
	revoke->barriers = at + 1;
	verbs_out_end_finished(conn);
	verbs_revoke_advance(conn);
}
