/* Instances whose calls come through a lease's slots: giving one away, and taking it back. */
#include "cluster/instances_internal.h"

#include "base/cleanup.h"
#include "cluster/node.h"
#include "runtime/host_proto.h"
#include "runtime/spawn/spawn_client.h"

#include <stdio.h>

static void pack(const struct instance *inst, const struct instance_lease *lease, struct buf *b)
{
	wire_map(b, 10 + lease->reset);
	wire_kstr(b, "t", "lease");
	if (lease->reset)
		wire_kbool(b, "reset", true);
	wire_kstr(b, "fn", lease->function);
	wire_kbool(b, "once", lease->once);
	wire_kuint(b, "slot", lease->slot);
	wire_kuint(b, "id", inst->id);
	wire_kuint(b, "pid", (uint64_t)inst->pid);
	wire_kuint(b, "kind", inst->kind);
	wire_kuint(b, "offset", (uint64_t)inst->mono_offset_ns);
	wire_kuint(b, "max_output", lease->max_output);
	wire_key(b, "ctx");
	wire_map(b, 2);
	wire_kstr(b, "version", inst->app->id);
	wire_kuint(b, "node", inst->owner->node->config.node);
}

static int send(struct instance *inst, const struct buf *b, const int *fds, unsigned nfds,
	struct ramet_err *err)
{
	int rc = frame_send(inst->conn, b->data, b->len, fds, nfds);
	return rc < 0 ? err_set(err, rc, "instance %llu does not take what it is told",
				(unsigned long long)inst->id)
		      : 0;
}

int instance_lease(struct instance *inst, const struct instance_lease *lease, struct ramet_err *err)
{
	CLEANUP(buf_fini) struct buf b = {0};
	if (inst->state != INSTANCE_IDLE || !inst->conn)
		return err_set(
			err, RAMET_ELOST, "instance %llu has ended", (unsigned long long)inst->id);
	pack(inst, lease, &b);
	int rc = wire_end(&b, err);
	if (rc == 0)
		rc = instance_give_secrets(inst, err);
	if (rc == 0) {
		snprintf(inst->tag.function, sizeof(inst->tag.function), "%s", lease->function);
		instance_tag(inst, "", 0);
		rc = send(inst, &b, lease->fds, 3, err);
	}
	if (rc < 0)
		return rc;
	inst->state = INSTANCE_LEASED;
	logring_ask(inst->log, lease->whose, lease->user);
	inst->unleasing = false;
	return 0;
}

int instance_unlease(struct instance *inst, struct ramet_err *err)
{
	CLEANUP(buf_fini) struct buf b = {0};
	wire_map(&b, 1);
	wire_kstr(&b, "t", "unlease");
	int rc = wire_end(&b, err);
	if (rc == 0 && (inst->state != INSTANCE_LEASED || !inst->conn))
		rc = err_set(
			err, RAMET_ELOST, "instance %llu has ended", (unsigned long long)inst->id);
	if (rc == 0)
		rc = send(inst, &b, NULL, 0, err);
	if (rc == 0)
		inst->unleasing = true;
	return rc;
}

int instance_on_unleased(struct instance *inst, struct ramet_err *err)
{
	if (inst->state != INSTANCE_LEASED || !inst->unleasing)
		return err_set(err, RAMET_EPROTO, "unexpected unleased");
	inst->state = INSTANCE_IDLE;
	inst->unleasing = false;
	instance_tag(inst, "", 0);
	logring_ask(inst->log, NULL, NULL);
	inst->handler->on_unleased(inst->user, inst);
	return 0;
}

void instance_interrupt(struct instance *inst)
{
	spawn_interrupt(inst->owner->node->spawn, inst->id);
}
