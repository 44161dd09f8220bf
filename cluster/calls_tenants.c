/* What each tenant has of this node's instances and waiting calls, and what it may have
 * (limits.tenant of the configuration). Control groups hold its memory and processes
 * (runtime/spawn/cgroup.h), seeds_quota.c its page cache. */
#include "cluster/calls_internal.h"

#include "cluster/node.h"

#include <stdlib.h>

static struct tenant_use *find(const struct calls *calls, uint32_t uid)
{
	list_for_each (use, &calls->tenants, struct tenant_use, link)
		if (use->uid == uid)
			return use;
	return NULL;
}

struct tenant_use *tenant_use(struct calls *calls, uint32_t uid)
{
	struct tenant_use *use = find(calls, uid);
	if (use)
		return use;
	use = calloc(1, sizeof(*use));
	if (!use)
		return NULL;
	use->uid = uid;
	list_append(&calls->tenants, &use->link);
	return use;
}

void tenant_release(struct tenant_use *use)
{
	if (!use || use->servants > 0 || use->queued > 0)
		return;
	list_remove(&use->link);
	free(use);
}

void tenants_destroy_all(struct calls *calls)
{
	list_for_each_safe (use, &calls->tenants, struct tenant_use, link)
		free(use);
}

bool tenant_full(const struct calls *calls, uint32_t uid)
{
	unsigned limit = calls->node->config.quota.instances;
	const struct tenant_use *use = limit ? find(calls, uid) : NULL;
	return use && use->servants >= limit;
}

int tenant_admit(const struct calls *calls, uint32_t uid, struct ramet_err *err)
{
	unsigned limit = calls->node->config.quota.queue;
	const struct tenant_use *use = limit ? find(calls, uid) : NULL;
	if (!use || use->queued < limit)
		return 0;
	return err_set(err, RAMET_ELIMIT,
		"%u calls of user %u wait on node %u, as many as one may have there "
		"(limits.tenant.queue of its configuration), for %u instances",
		use->queued, uid, calls->node->config.node, use->servants);
}

void calls_get_pinched(const struct calls *calls, struct calls_pinched *ret)
{
	*ret = (struct calls_pinched){0};
	list_for_each (use, &calls->tenants, struct tenant_use, link) {
		ret->tenants++;
		if (!tenant_full(calls, use->uid))
			continue;
		ret->full++;
		ret->waiting += use->queued;
	}
}
