/* Leases of functions whose calls each have an instance of their own: clones wait in line, one for
 * a slot, take its call, answer, and end; the next takes the place at once, if the line is not
 * shorter by now, or a call is there. The line is as long as is needed for callers to find one that
 * waits; a client that finds none on its way wakes us. */
#include "cluster/calls_internal.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "cluster/node.h"

#include <sys/epoll.h>

#define LINE_FIRST 4
#define FAILURES_MAX \
	3 /* starts that fail one after the other: then the lease ends, and calls by the socket \
	     tell why */

void lease_line_seat(struct lease *lease, unsigned slot, struct servant *servant)
{
	lease->servants[slot] = servant;
	lease->nservants++;
	slots_set_coming(&lease->slots, slot, true);
}

void lease_line_leave(struct lease *lease, unsigned slot)
{
	lease->servants[slot] = NULL;
	lease->nservants--;
	slots_set_coming(&lease->slots, slot, false);
}

/* false: no more of them can be started now */
static bool fill_some(struct lease *lease, uint32_t slots)
{
	const struct calls *calls = lease->calls;
	struct ramet_err err = {0};
	for (; slots && lease->nservants < lease->line; slots &= slots - 1) {
		if (calls->nservants >= calls->node->config.max_instances ||
			tenant_full(calls, lease->app->uid))
			return false;
		if (servant_start_leased(lease, (unsigned)__builtin_ctz(slots), &err) < 0) {
			log_err(LOG_WARN, "lease.line", &err);
			return false;
		}
	}
	return true;
}

void lease_line_fill(struct lease *lease)
{
	struct slots_view view;
	uint32_t empty = 0;
	if (!lease->once || lease->state != LEASE_ACTIVE || lease->calls->starved)
		return;
	slots_look(&lease->slots, &view);
	for (unsigned i = 0; i < SLOTS_COUNT; i++)
		empty |= (uint32_t)!lease->servants[i] << i;
	uint32_t wanted = empty & view.waits;
	lease->line = MAX(lease->line, (unsigned)LINE_FIRST);
	lease->line = MAX(lease->line, lease->nservants + (unsigned)__builtin_popcount(wanted));
	if (fill_some(lease, wanted))
		(void)fill_some(lease, empty & ~wanted);
}

static void on_wake(struct loop_watch *watch, uint32_t events)
{
	struct lease *lease = container_of(watch, struct lease, wake_watch);
	(void)events; /* edge-triggered, and never read */
	lease_line_fill(lease);
	lease->calls->leases_quiet = false;
	leases_arm(lease->calls);
}

int lease_line_open(struct lease *lease, struct ramet_err *err)
{
	int rc = loop_watch_add(lease->calls->node->loop, &lease->wake_watch, lease->wake_fd,
		EPOLLIN | EPOLLET, on_wake, err);
	if (rc == 0)
		lease_line_fill(lease);
	return rc;
}

/* without room nobody would come to what waits: it goes by the socket, where its turn comes */
static void fill_or_close(struct lease *lease)
{
	lease_line_fill(lease);
	if (lease->nservants == 0)
		lease_close(lease);
}

void lease_line_started(struct lease *lease, struct servant *servant)
{
	struct ramet_err err = {0};
	lease->failures = 0;
	lease->kind = servant->kind;
	servant->looked_ns = now_ns();
	if (lease_give(lease, servant, &err) < 0)
		instance_fail(servant->inst, &err);
}

static void end_if_empty(struct lease *lease)
{
	if (lease->state == LEASE_ACTIVE || lease->nservants > 0)
		return;
	slots_abandon(&lease->slots, RAMET_ELOST, NULL, 0);
	lease_end(lease);
	lease_wake_client(lease);
}

void lease_line_gone(
	struct lease *lease, struct servant *servant, const struct call_error *cause, bool failed)
{
	CLEANUP(buf_fini) struct buf b = {0};
	struct slots_running running;
	if (slots_look_at(&lease->slots, servant->slot, &running)) { /* it died of its call */
		struct instance_info info = {0};
		if (servant->inst)
			instance_get_info(servant->inst, &info);
		const struct slots_dead who = {info.pid, info.kind, (uint32_t)info.id};
		lease_pack_cause(cause, &b);
		slots_abandon_one(&lease->slots, servant->slot, &who,
			cause->err.code ? cause->err.code : RAMET_ELOST, b.data,
			b.oom || b.len > SLOTS_ERROR_MAX ? 0 : b.len);
		lease_wake_client(lease);
	}
	if (failed && ++lease->failures >= FAILURES_MAX)
		lease_close(lease);
	else
		fill_or_close(lease);
	end_if_empty(lease);
}

void lease_line_close(struct lease *lease)
{
	struct slots_view view;
	slots_look(&lease->slots, &view);
	for (unsigned i = 0; i < SLOTS_COUNT; i++)
		if (lease->servants[i] && !((view.waits | view.runs) & 1u << i))
			servant_end(lease->servants[i]);
	end_if_empty(lease);
}

/* calls that wait have found nobody who was ready */
void lease_line_look(struct lease *lease, const struct slots_view *view, bool quiet)
{
	if (!lease->once)
		return;
	if (view->waiting > 0)
		lease->line = MIN(2 * lease->line, SLOTS_COUNT);
	else if (quiet && lease->line > LINE_FIRST)
		lease->line--;
	fill_or_close(lease);
}
