/* Instances: making them through ramet-spawn, giving them calls, telling their owners. What they
 * say is read in instances_proto.c, how they end is instances_death.c. */
#include "cluster/instances_internal.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "cluster/node.h"
#include "runtime/host_proto.h"
#include "runtime/spawn/spawn_client.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- frames --- */

static void misbehaved(struct instance *inst, struct ramet_err *err)
{
	if (inst->cause.err.code != 0)
		return; /* it is ending for something else */
	err_prefix(err, "%s sent what it must not",
		inst->tag.function[0] ? inst->tag.function : inst->app->app);
	instance_kill(inst, err);
	snprintf(inst->cause.kind, sizeof(inst->cause.kind), "user");
}

static void on_frame(void *user, const unsigned char *data, size_t len, int *fds, unsigned nfds)
{
	struct instance *inst = user;
	struct ramet_err err = {0};
	if (inst->state == INSTANCE_ENDING)
		return;
	if (instance_check_frame(inst, data, len, fds, nfds, &err) < 0)
		misbehaved(inst, &err);
}

static void on_closed(void *user, const struct ramet_err *err)
{
	struct instance *inst = user;
	struct ramet_err why = *err;
	if (err->code == RAMET_EPROTO)
		misbehaved(inst, &why);
	else if (err->code != RAMET_EPEER)
		instance_kill(inst, err);
	instance_on_hangup(inst);
}

const struct frame_handler instance_frames = {.on_frame = on_frame, .on_closed = on_closed};

/* --- being made --- */

static void did_not_start(struct loop_timer *timer)
{
	struct instance *inst = container_of(timer, struct instance, timer);
	struct ramet_err err = {0};
	uint64_t ms = inst->host ? inst->owner->node->config.start_ms : INSTANCE_START_MS;
	err_set(&err, RAMET_ETIMEOUT, "%s: its process did not start within %" PRIu64 " ms%s",
		inst->app->app, ms, inst->host ? " (limits.start of this node)" : "");
	instance_kill(inst, &err);
}

static void instance_discard(struct instance *inst)
{
	if (!inst)
		return;
	loop_timer_cancel(&inst->timer);
	list_remove(&inst->link);
	inst->stock = NULL; /* which may be gone */
	instance_close_channels(inst);
	app_version_put(inst->app);
	call_error_fini(&inst->cause);
	free(inst);
}
DEFINE_CLEANUP(struct instance, instance_discard)

static struct instance *instance_new(struct instances *instances, struct app_version *app,
	const struct instance_handler *handler, void *user)
{
	struct instance *inst = calloc(1, sizeof(*inst));
	if (!inst)
		return NULL;
	inst->owner = instances;
	inst->id = ++instances->next_id;
	inst->app = app_version_get(app);
	inst->handler = handler;
	inst->user = user;
	inst->created_ns = now_ns();
	inst->tag.instance = inst->id;
	inst->tag.uid = app->uid;
	list_append(&instances->list, &inst->link);
	return inst;
}

static void on_spawned(void *user, struct spawn_result *result)
{
	struct instance *inst = user;
	inst->request = 0;
	if (result->err.code < 0) {
		inst->failed = true;
		if (inst->cause.err.code == 0 && !inst->ended_by_owner)
			call_error_set(&inst->cause, &result->err, inst->owner->node->config.node);
		frame_conn_close(steal_ptr(&inst->conn));
		instance_maybe_gone(inst);
		return;
	}
	inst->pid = result->pid;
	inst->born = true;
	inst->begin_ns = result->begin_ns;
	inst->tag.pid = result->pid;
	logring_tag(inst->log, &inst->tag);
	if (inst->parent)
		inst->parent->on_born(inst->parent, inst, steal_fd(&result->uffd));
	if (inst->running && inst->state == INSTANCE_STARTING)
		instance_became_idle(inst);
	else if (!inst->conn)
		instance_on_hangup(inst);
}

int instance_start_clone(struct instances *instances, const struct instance_clone *clone,
	const struct instance_handler *handler, void *user, struct instance **ret_inst,
	struct ramet_err *err)
{
	struct node *node = instances->node;
	AUTO(instance_discard)
	struct instance *inst = instance_new(instances, clone->app, handler, user);
	if (!inst)
		return err_nomem(err);
	inst->kind = clone->kind;
	inst->initialises = clone->host;
	inst->source_node = clone->source_node;
	inst->mono_offset_ns = clone->mono_offset_ns;
	inst->populated = clone->npopulate > 0;
	CLEANUP(instance_ends_close) struct instance_ends ends = INSTANCE_NO_ENDS;
	int rc = instance_open_channels(inst, clone->stock, &ends, err);
	if (rc < 0)
		return rc;
	struct spawn_clone request = {
		.tmpl = clone->tmpl,
		.inst = inst->id,
		.control_fd = ends.control,
		.log_fd = ends.output,
		.ask_alone = clone->stock != NULL,
		.populate = clone->populate,
		.npopulate = clone->npopulate,
	};
	rc = loop_timer_set(node->loop, &inst->timer,
		inst->created_ns + INSTANCE_START_MS * NSEC_PER_MSEC, did_not_start);
	if (rc < 0)
		return err_nomem(err);
	rc = clone->parent->on_begun(clone->parent, inst, err);
	if (rc < 0)
		return rc;
	rc = spawn_clone(node->spawn, &request, on_spawned, inst, &inst->request, err);
	if (rc < 0) {
		clone->parent->on_gone(clone->parent, inst);
		return rc;
	}
	inst->parent = clone->parent;
	*ret_inst = steal_ptr(&inst);
	return 0;
}

/* letters, digits, '.', '_', '-' */
void instance_host_group(const struct app_version *app, char *dst, size_t cap)
{
	snprintf(dst, cap, "%u.%s.%.12s", (unsigned)app->uid, app->app, app->id);
}

struct spawn_tenant instance_tenant(
	const struct node *node, const struct app_version *app, char name[INSTANCE_TENANT_MAX])
{
	snprintf(name, INSTANCE_TENANT_MAX, "%u", (unsigned)app->uid);
	return (struct spawn_tenant){
		.uid = app->uid,
		.gid = app->gid,
		.name = name,
		.limits = {.mem = node->config.quota.memory, .pids = node->config.quota.pids},
	};
}

int instance_start_host(struct instances *instances, const struct instance_host *host,
	const struct instance_handler *handler, void *user, struct instance **ret_inst,
	struct ramet_err *err)
{
	struct node *node = instances->node;
	struct app_version *app = host->app;
	char group[SPAWN_NAME_MAX];
	char name[INSTANCE_TENANT_MAX];
	AUTO(instance_discard) struct instance *inst = instance_new(instances, app, handler, user);
	if (!inst)
		return err_nomem(err);
	inst->host = true;
	inst->kind = START_COLD;
	CLEANUP(instance_ends_close) struct instance_ends ends = INSTANCE_NO_ENDS;
	int rc = instance_open_channels(inst, NULL, &ends, err);
	if (rc < 0)
		return rc;
	instance_host_group(app, group, sizeof(group));
	struct spawn_limits limits = app_version_limits(app);
	if (host->bare) /* it makes what the app needs, by programs of the node */
		limits.isolates = false;
	struct spawn_host request = {
		.inst = inst->id,
		.argv = host->argv,
		.env = host->env,
		.dir = host->dir,
		.view = host->view,
		.bare = host->bare,
		.tenant = instance_tenant(node, app, name),
		.group = host->bare ? NULL : group,
		.limits = limits,
		.control_fd = ends.control,
		.log_fd = ends.output,
	};
	rc = loop_timer_set(node->loop, &inst->timer,
		inst->created_ns + node->config.start_ms * NSEC_PER_MSEC, did_not_start);
	if (rc < 0)
		return err_nomem(err);
	rc = spawn_host(node->spawn, &request, on_spawned, inst, &inst->request, err);
	if (rc < 0)
		return rc;
	*ret_inst = steal_ptr(&inst);
	return 0;
}

/* --- its life --- */

void instance_became_idle(struct instance *inst)
{
	if (!inst->born)
		return; /* it was quicker than ramet-spawn's answer, which its owner needs too */
	loop_timer_cancel(&inst->timer);
	inst->state = INSTANCE_IDLE;
	inst->ready_ns = now_ns();
	inst->handler->on_started(inst->user, inst);
}

void instance_own(struct instance *inst, const struct instance_handler *handler, void *user)
{
	inst->handler = handler;
	inst->user = user;
	inst->tag.function[0] = '\0'; /* samples do not bind it */
}

int instance_send(struct instance *inst, const struct buf *message, struct ramet_err *err)
{
	if (inst->state != INSTANCE_IDLE || !inst->conn)
		return err_set(
			err, RAMET_ELOST, "instance %llu has ended", (unsigned long long)inst->id);
	int rc = frame_send(inst->conn, message->data, message->len, NULL, 0);
	return rc < 0 ? err_set(err, rc, "send to instance %llu", (unsigned long long)inst->id) : 0;
}

void instance_tag(struct instance *inst, const char *id, uint32_t rank)
{
	snprintf(inst->tag.call, sizeof(inst->tag.call), "%s", id);
	inst->tag.rank = rank;
	logring_tag(inst->log, &inst->tag);
}

int instance_call(struct instance *inst, const struct instance_call *call, struct ramet_err *err)
{
	CLEANUP(buf_fini) struct buf b = {0};
	if (inst->state != INSTANCE_IDLE || !inst->conn)
		return err_set(
			err, RAMET_ELOST, "instance %llu has ended", (unsigned long long)inst->id);
	inst->call = ++inst->calls;
	int rc = instance_pack_call(inst, call, &b, err);
	if (rc == 0 && call->secrets)
		rc = instance_give_secrets(inst, err);
	if (rc == 0 && b.len > HOST_MAX_FRAME)
		rc = err_set(err, RAMET_ELIMIT, "the input of %s is too large", call->function);
	if (rc == 0) {
		/* before it can print anything */
		if (strcmp(inst->tag.function, call->function) != 0)
			snprintf(inst->tag.function, sizeof(inst->tag.function), "%s",
				call->function);
		instance_tag(inst, call->id, call->rank);
		inst->call_began_ns = now_ns(); /* it may have begun when frame_send() returns */
		rc = frame_send(inst->conn, b.data, b.len, NULL, 0);
		if (rc < 0)
			err_set(err, rc, "instance %llu does not take the call",
				(unsigned long long)inst->id);
	}
	if (rc < 0) {
		instance_tag(inst, "", 0);
		inst->call = 0;
		return rc;
	}
	inst->state = INSTANCE_BUSY;
	inst->max_output = call->max_output;
	inst->events = call->events;
	inst->emitted = inst->untaken = 0;
	return 0;
}

void instance_finish_call(struct instance *inst, const struct instance_result *result)
{
	inst->call = 0;
	instance_tag(inst, "", 0);
	if (inst->state == INSTANCE_BUSY)
		inst->state = INSTANCE_IDLE;
	inst->handler->on_result(inst->user, inst, result);
}

/* --- all of them --- */

static struct instance *find(struct instances *instances, uint64_t id)
{
	list_for_each (inst, &instances->list, struct instance, link)
		if (inst->id == id)
			return inst;
	return NULL;
}

void instances_on_exited(struct instances *instances, uint64_t id, const struct spawn_exit *how)
{
	struct instance *inst = find(instances, id);
	if (inst)
		instance_on_exited(inst, how);
}

int instances_create(struct node *node, struct instances **ret_instances, struct ramet_err *err)
{
	struct instances *instances = calloc(1, sizeof(*instances));
	if (!instances)
		return err_nomem(err);
	instances->node = node;
	list_init(&instances->list);
	*ret_instances = instances;
	return 0;
}

void instances_destroy(struct instances *instances)
{
	if (!instances)
		return;
	struct node *node = instances->node;
	list_for_each_safe (inst, &instances->list, struct instance, link) {
		if (inst->request != 0)
			spawn_forget(node->spawn, inst->request);
		else if (!inst->reaped)
			spawn_kill(node->spawn, inst->id);
		instance_discard(inst);
	}
	free(instances);
}

void instance_get_info(const struct instance *inst, struct instance_info *ret_info)
{
	uint64_t begin = inst->begin_ns ? inst->begin_ns : inst->created_ns;
	*ret_info = (struct instance_info){
		.id = inst->id,
		.pid = inst->pid,
		.state = inst->state,
		.host = inst->host || inst->initialises,
		.kind = inst->kind,
		.source_node = inst->source_node,
		.created_ns = inst->created_ns,
		.ready_ns = inst->ready_ns,
		.first_instruction_ns = inst->first_ns > begin ? inst->first_ns - begin : 0,
		.calls = inst->calls,
		.populated = inst->populated,
		.app = inst->app,
		.function = inst->tag.function,
		.call = inst->tag.call,
		.rank = inst->tag.rank,
	};
}

void instances_each(const struct instances *instances,
	void (*fn)(void *user, const struct instance_info *info), void *user)
{
	list_for_each (inst, &instances->list, struct instance, link) {
		struct instance_info info;
		instance_get_info(inst, &info);
		fn(user, &info);
	}
}

unsigned instances_count(const struct instances *instances, const char *version)
{
	unsigned n = 0;
	list_for_each (inst, &instances->list, struct instance, link)
		n += !version || strcmp(inst->app->id, version) == 0;
	return n;
}

uint64_t instance_rss(const struct instance_info *info)
{
	char path[64];
	unsigned long long size = 0;
	unsigned long long resident = 0;
	snprintf(path, sizeof(path), "/proc/%d/statm", (int)info->pid);
	auto_fclose FILE *f = info->pid > 0 ? fopen(path, "re") : NULL;
	if (!f || fscanf(f, "%llu %llu", &size, &resident) != 2)
		return 0;
	return resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

const char *instance_state_name(const struct instance_info *info)
{
	static const char *const names[] = {"starting", "idle", "busy", "leased", "ending"};
	if (info->host && info->calls == 0 && info->state != INSTANCE_ENDING)
		return "host";
	return names[info->state];
}
