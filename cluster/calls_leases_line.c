/* Leases of functions whose calls each have an instance of their own: clones wait in line, one for
 * a slot, take its call, answer, and end; the next takes the place at once. The line is as long as
 * is needed for callers to find one that waits. */
#include "cluster/calls_internal.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "cluster/node.h"

#define LINE_FIRST 4
#define FAILURES_MAX \
	3 /* starts that fail one after the other: then the lease ends, and calls by the socket \
	     tell why */

void lease_line_fill(struct lease *lease)
{
	const struct calls *calls = lease->calls;
	struct ramet_err err = {0};
	if (!lease->once || lease->state != LEASE_ACTIVE || calls->starved)
		return;
	lease->line = MAX(lease->line, (unsigned)LINE_FIRST);
	for (unsigned i = 0; i < SLOTS_COUNT && lease->nservants < lease->line; i++) {
		if (lease->servants[i])
			continue;
		if (calls->nservants >= calls->node->config.max_instances ||
			tenant_full(calls, lease->app->uid))
			return;
		if (servant_start_leased(lease, i, &err) < 0) {
			log_err(LOG_WARN, "lease.line", &err);
			return;
		}
	}
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
	struct slots_view view;
	lease->nservants--;
	slots_look(&lease->slots, &view);
	if (view.runs & 1u << servant->slot) { /* it died of its call */
		lease_pack_cause(cause, &b);
		slots_abandon_one(&lease->slots, servant->slot,
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
