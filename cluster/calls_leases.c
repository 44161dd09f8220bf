/* Leases, from being granted until the instance is in its pool again. What is watched meanwhile is
 * calls_leases_keep.c. */
#include "cluster/calls_internal.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "cluster/client_proto.h"
#include "cluster/logring.h"
#include "cluster/node.h"
#include "cluster/seeds.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

_Static_assert(SLOTS_ID_MAX == CLIENT_CALL_MAX + 1, "ids of calls");

static void lease_free(struct lease *lease)
{
	if (!lease)
		return;
	list_remove(&lease->link);
	loop_watch_remove(&lease->wake_watch);
	slots_close(&lease->slots);
	close_reset(&lease->wake_fd);
	close_reset(&lease->client_fd);
	app_version_put(lease->app);
	free(lease);
}
DEFINE_CLEANUP(struct lease, lease_free)

static int open_memory(struct lease *lease, int client_fd, struct ramet_err *err)
{
	lease->wake_fd = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK); /* it is never read */
	if (lease->wake_fd < 0)
		return err_errno(err, RAMET_EIO, "eventfd of a lease");
	lease->client_fd = fcntl(client_fd, F_DUPFD_CLOEXEC, 0);
	if (lease->client_fd < 0)
		return err_errno(err, RAMET_EIO, "duplicate a client's descriptor");
	return slots_create(lease->once, &lease->slots, err);
}

struct servant *lease_servant(const struct lease *lease, unsigned slot)
{
	return lease->servants[lease->once ? slot : 0];
}

/* at best who runs, else who ran last */
static void whose_output(void *user, struct log_tag *tag)
{
	const struct servant *servant = user;
	const struct lease *lease = servant->lease;
	uint32_t rank = 0;
	uint64_t number = lease ? slots_last(&lease->slots, servant->slot, &rank) : 0;
	if (number == 0)
		return;
	slots_make_id(lease->calls->node->config.node, lease->id, number, tag->call);
	tag->rank = rank;
}

int lease_give(struct lease *lease, struct servant *servant, struct ramet_err *err)
{
	const struct instance_lease order = {
		.function = lease->function,
		.max_output = lease_output(lease->app),
		.once = lease->once,
		.reset = app_version_resets(lease->app, lease->function),
		.slot = servant->slot,
		.whose = whose_output,
		.user = servant,
		.fds = {lease->slots.fd, lease->wake_fd, lease->client_fd},
	};
	return instance_lease(servant->inst, &order, err);
}

static int lease_new(struct calls *calls, const struct lease_request *request,
	const struct registry_entry *entry, struct lease **ret_lease, struct ramet_err *err)
{
	AUTO(lease_free) struct lease *lease = calloc(1, sizeof(*lease));
	if (!lease)
		return err_nomem(err);
	list_init(&lease->link);
	lease->calls = calls;
	lease->id = ++calls->lease_id;
	lease->wake_fd = lease->client_fd = lease->slots.fd = -1;
	lease->app = app_version_get(entry->version);
	lease->once = app_version_once(entry->version, entry->name);
	lease->pinned = request->pinned;
	lease->kind = START_WARM;
	lease->owner = request->owner;
	lease->user = request->user;
	lease->active_ns = now_ns();
	snprintf(lease->function, sizeof(lease->function), "%s", entry->name);
	int rc = open_memory(lease, request->client_fd, err);
	if (rc == 0)
		*ret_lease = steal_ptr(&lease);
	return rc;
}

static int lend_one(struct lease *lease, struct ramet_err *err)
{
	int rc = servant_lend(lease->calls, lease, err);
	if (rc < 0)
		return rc;
	struct servant *servant = lease->servants[0];
	rc = lease_give(lease, servant, err);
	if (rc < 0) {
		servant->lease = NULL;
		servant_end(servant);
	}
	return rc;
}

/* What clones that wait in line will touch is made ready, once a call by the socket was recorded.
 */
static int check_recorded(
	const struct calls *calls, const struct registry_entry *entry, struct ramet_err *err)
{
	const char *pool = app_version_pool(entry->version, entry->name);
	if (!app_version_once(entry->version, entry->name) ||
		!seeds_unrecorded(calls->node->seeds, entry->version->id, pool))
		return 0;
	return err_set(err, RAMET_EAGAIN, "what calls of %s touch is not known yet", entry->name);
}

int lease_grant(struct calls *calls, const struct lease_request *request, struct lease **ret_lease,
	struct ramet_err *err)
{
	struct registry_entry *entry = NULL;
	AUTO(lease_free) struct lease *lease = NULL;
	int rc = registry_find(
		calls->node->registry, request->tenant, request->function, &entry, err);
	if (rc == 0)
		rc = check_recorded(calls, entry, err);
	if (rc == 0)
		rc = request->pinned ? 0 : lease_check_spread(calls, entry, err);
	if (rc == 0)
		rc = lease_new(calls, request, entry, &lease, err);
	if (rc == 0)
		rc = lease->once ? lease_line_open(lease, err) : lend_one(lease, err);
	if (rc == 0 && lease->nservants == 0) /* nor is it for nothing that it takes memory */
		rc = err_set(
			err, RAMET_EAGAIN, "there is no room for instances of %s", lease->function);
	if (rc != 0)
		return rc;
	list_append(&calls->leases, &lease->link);
	leases_arm(calls);
	*ret_lease = steal_ptr(&lease);
	return 0;
}

void lease_get_info(const struct lease *lease, struct lease_info *ret_info)
{
	const struct app_version *app = lease->app;
	struct instance_info info = {0};
	if (!lease->once)
		instance_get_info(lease->servants[0]->inst, &info);
	*ret_info = (struct lease_info){
		.id = lease->id,
		.app = app,
		.function = lease->function,
		.instance = info.id,
		.pid = info.pid,
		.once = lease->once,
		.slots_fd = lease->slots.fd,
		.wake_fd = lease->wake_fd,
		.deadline_ms = app->limits.deadline_ms ? app->limits.deadline_ms
						       : lease->calls->node->config.deadline_ms,
		.max_output = lease_output(app),
	};
}

uint64_t lease_output(const struct app_version *app)
{
	return app->limits.output ? app->limits.output : CLIENT_MAX_PAYLOAD;
}

void lease_wake_client(struct lease *lease)
{
	slots_rouse_client(&lease->slots);
	if (lease->owner)
		lease->owner->on_look(lease->user, lease);
}

/* --- ending --- */

/* told later, so that no callback comes from within a call of the owner's */
void lease_end(struct lease *lease)
{
	lease->state = LEASE_ENDED;
	leases_arm_now(lease->calls);
}

void leases_sweep(struct calls *calls)
{
	list_for_each_safe (lease, &calls->leases, struct lease, link) {
		if (lease->state != LEASE_ENDED)
			continue;
		list_remove(&lease->link);
		if (lease->owner)
			lease->owner->on_ended(lease->user, lease);
		lease_free(lease);
	}
}

/* nothing waits or runs: the instance may go */
void lease_try_return(struct lease *lease)
{
	struct slots_view view;
	struct ramet_err err = {0};
	if (lease->state != LEASE_CLOSING)
		return;
	if (lease->once) {
		lease_line_close(lease);
		return;
	}
	slots_look(&lease->slots, &view);
	if (view.waiting > 0 || view.running > 0)
		return;
	lease->state = LEASE_RETURNING;
	lease->until_ns = now_ns() + LEASE_RETURN_MS * NSEC_PER_MSEC;
	if (instance_unlease(lease->servants[0]->inst, &err) < 0)
		instance_fail(lease->servants[0]->inst, &err);
}

void lease_close(struct lease *lease)
{
	if (lease->state != LEASE_ACTIVE)
		return;
	slots_set_closing(&lease->slots);
	lease->state = LEASE_CLOSING;
	lease_try_return(lease);
	leases_arm(lease->calls);
}

void lease_fail(struct lease *lease, const struct ramet_err *why)
{
	slots_set_closing(&lease->slots);
	if (lease->state == LEASE_ACTIVE)
		lease->state = LEASE_CLOSING;
	for (unsigned i = 0; i < SLOTS_COUNT; i++) {
		struct servant *servant = lease->servants[i];
		if (servant && servant->state == SERVANT_LEASED)
			instance_fail(servant->inst, why);
		else if (servant)
			servant_end(servant);
	}
	leases_arm(lease->calls);
}

void lease_forget(struct lease *lease)
{
	struct slots_view view;
	struct ramet_err err = {0};
	lease->owner = NULL;
	if (lease->state == LEASE_ENDED)
		return;
	lease->until_ns = now_ns() + LEASE_RETURN_MS * NSEC_PER_MSEC;
	slots_look(&lease->slots, &view);
	err_set(&err, RAMET_ECANCELED, "its caller has gone");
	if (view.running + view.waiting > 0 && lease->state != LEASE_RETURNING)
		lease_fail(lease, &err);
	else
		lease_close(lease);
}

void lease_break(struct lease *lease)
{
	struct ramet_err err = {0};
	err_set(&err, RAMET_EPROTO, "the instance of %s wrote over its slots", lease->function);
	if (lease->state != LEASE_ENDED)
		lease_fail(lease, &err);
}

void lease_on_unleased(struct lease *lease)
{
	leases_count(lease);
	lease->servants[0] = NULL;
	slots_abandon(
		&lease->slots, RAMET_ELOST, NULL, 0); /* a client may have gone on submitting */
	lease_end(lease);
}

static const char *after(const char *text, size_t most)
{
	size_t len = strlen(text);
	return len > most ? text + len - most : text;
}

/* {error: …} of what fits a slot: no traceback, and the end of a long output */
void lease_pack_cause(const struct call_error *cause, struct buf *b)
{
	struct call_error small = *cause;
	small.message = small.traceback = NULL;
	if (small.type)
		small.type = (char *)after(small.type, 128);
	if (small.log_tail_len > LEASE_LOG_TAIL) {
		small.log_tail = (char *)small.log_tail + small.log_tail_len - LEASE_LOG_TAIL;
		small.log_tail_len = LEASE_LOG_TAIL;
	}
	wire_map(b, 1);
	wire_key(b, "error");
	call_error_pack(&small, b);
}

void lease_on_gone(struct lease *lease, struct servant *servant, const struct call_error *cause)
{
	CLEANUP(buf_fini) struct buf b = {0};
	leases_count(lease);
	if (lease->once) {
		lease_line_leave(lease, servant->slot);
		lease_line_gone(lease, servant, cause, servant->state == SERVANT_STARTING);
		return;
	}
	lease->servants[0] = NULL;
	lease_pack_cause(cause, &b);
	slots_abandon(&lease->slots, cause->err.code ? cause->err.code : RAMET_ELOST, b.data,
		b.oom || b.len > SLOTS_ERROR_MAX ? 0 : b.len);
	lease_end(lease);
	lease_wake_client(
		lease); /* may find that the client has gone, and have the lease forgotten */
}

bool leases_reclaim(struct calls *calls, uint32_t uid)
{
	struct lease *idlest = NULL;
	list_for_each (lease, &calls->leases, struct lease, link)
		if (lease->state == LEASE_ACTIVE && (uid == UINT32_MAX || lease->app->uid == uid) &&
			(!idlest || lease->active_ns < idlest->active_ns))
			idlest = lease;
	if (!idlest)
		return false;
	log_debug("lease.reclaimed", "lease=%llu function=%s", (unsigned long long)idlest->id,
		idlest->function);
	lease_close(idlest);
	return true;
}

void leases_drop_version(struct calls *calls, uint32_t tenant, const char *version, bool running)
{
	struct ramet_err err = {0};
	list_for_each (lease, &calls->leases, struct lease, link) {
		if (lease->state == LEASE_ENDED || lease->app->uid != tenant ||
			strcmp(lease->app->id, version) != 0)
			continue;
		err_set(&err, RAMET_EREVOKED, "%s was removed", lease->function);
		if (running)
			lease_fail(lease, &err);
		else
			lease_close(lease);
	}
}

static bool names(const struct app_version *app, const char *of_app, const char *secret)
{
	if (of_app[0] && strcmp(app->app, of_app) != 0)
		return false;
	for (uint32_t i = 0; i < app->secrets.count; i++)
		if (strcmp(app->secrets.v[i], secret) == 0)
			return true;
	return false;
}

void leases_close_secret(struct calls *calls, uint32_t tenant, const char *app, const char *secret)
{
	list_for_each (lease, &calls->leases, struct lease, link)
		if (lease->app->uid == tenant && names(lease->app, app, secret))
			lease_close(lease);
}

void leases_destroy(struct calls *calls)
{
	loop_timer_cancel(&calls->lease_timer);
	list_for_each_safe (lease, &calls->leases, struct lease, link) {
		for (unsigned i = 0; i < SLOTS_COUNT; i++)
			if (lease->servants[i])
				lease->servants[i]->lease = NULL;
		lease_free(lease);
	}
}
