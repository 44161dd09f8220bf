/* What the call of an instance emits. The instance keeps its own bounds; what goes beyond them is
 * garbage, and ends it. */
#include "cluster/instances_internal.h"

#include "base/cleanup.h"
#include "cluster/call_event.h"

int instance_on_event(struct instance *inst, const struct wire_value *body, struct ramet_err *err)
{
	struct call_event event = {0};
	uint64_t id = 0;
	int rc = wire_get_uint(body, "id", UINT64_MAX, &id, err);
	if (rc == 0 && (inst->state != INSTANCE_BUSY || id != inst->call || !inst->events))
		rc = err_set(err, RAMET_EPROTO, "an event that nobody asked for");
	if (rc == 0)
		rc = call_event_parse(body, &event, err);
	if (rc < 0)
		return rc;
	if (!event.progress)
		inst->emitted += MAX(event.len, (size_t)HOST_EVENT_LEAST);
	inst->untaken += call_event_weight(&event);
	if (inst->emitted > inst->max_output)
		return err_set(err, RAMET_ELIMIT,
			"%s emitted %llu bytes, its output's limit is %llu", inst->tag.function,
			(unsigned long long)inst->emitted, (unsigned long long)inst->max_output);
	if (inst->untaken > CALL_EVENT_WINDOW)
		return err_set(err, RAMET_EPROTO, "%s emits without waiting for who listens",
			inst->tag.function);
	inst->handler->on_event(inst->user, inst, &event);
	return 0;
}

void instance_taken(struct instance *inst, uint64_t weight)
{
	CLEANUP(buf_fini) struct buf b = {0};
	weight = MIN(weight, inst->untaken); /* who listens may be wrong */
	if (inst->state != INSTANCE_BUSY || !inst->conn || weight == 0)
		return;
	inst->untaken -= weight;
	wire_map(&b, 3);
	wire_kstr(&b, "t", "taken");
	wire_kuint(&b, "id", inst->call);
	wire_kuint(&b, "bytes", weight);
	struct ramet_err err = {0};
	int rc = wire_end(&b, &err);
	if (rc == 0 && (rc = frame_send(inst->conn, b.data, b.len, NULL, 0)) < 0)
		err_set(&err, rc, "instance %llu does not take what it is told",
			(unsigned long long)inst->id);
	if (rc < 0)
		instance_kill(inst, &err); /* it would wait for ever */
}
