/* Nodes that lack what an app's instances must see there (`data`): remembered for a while, so that
 * its calls go elsewhere. */
#include "cluster/calls_internal.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "cluster/members.h"
#include "cluster/node.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define UNFIT_NS (30 * NSEC_PER_SEC) /* then it is asked again */

struct unfit {
	struct list link;
	char version[VERSION_HEX + 1];
	uint32_t node;
	uint64_t until_ns;
};

bool call_error_unfit(const struct call_error *error, const struct app_version *app)
{
	return error->err.code == RAMET_EREFUSED && app->data.count > 0;
}

bool call_result_unfit(const struct call_result *result, const struct app_version *app)
{
	return result->start == START_NONE && call_error_unfit(&result->error, app);
}

static struct unfit *find(const struct calls *calls, const struct app_version *app, uint32_t node)
{
	list_for_each (unfit, &calls->unfit, struct unfit, link)
		if (unfit->node == node && strcmp(unfit->version, app->id) == 0)
			return unfit;
	return NULL;
}

bool calls_unfit(const struct calls *calls, const struct app_version *app, uint32_t node)
{
	const struct unfit *unfit = find(calls, app, node);
	return unfit && unfit->until_ns > now_ns();
}

static void forget_old(struct calls *calls, uint64_t now)
{
	list_for_each_safe (unfit, &calls->unfit, struct unfit, link) {
		if (unfit->until_ns > now)
			continue;
		list_remove(&unfit->link);
		free(unfit);
	}
}

static bool other_left(const struct calls *calls, const struct app_version *app)
{
	const struct node *node = calls->node;
	if (!calls_unfit(calls, app, node->config.node))
		return true;
	for (unsigned i = 0; i < members_count(node->members); i++) {
		const struct member *m = members_at(node->members, i);
		if (m->alive && !calls_unfit(calls, app, m->info.node))
			return true;
	}
	return false;
}

bool calls_note_unfit(struct calls *calls, const struct app_version *app, uint32_t node)
{
	uint64_t now = now_ns();
	forget_old(calls, now);
	struct unfit *unfit = find(calls, app, node);
	if (!unfit) {
		unfit = calloc(1, sizeof(*unfit));
		if (!unfit)
			return false;
		memcpy(unfit->version, app->id, sizeof(unfit->version));
		unfit->node = node;
		list_append(&calls->unfit, &unfit->link);
	}
	unfit->until_ns = now + UNFIT_NS;
	return other_left(calls, app);
}

void calls_destroy_unfit(struct calls *calls)
{
	list_for_each_safe (unfit, &calls->unfit, struct unfit, link)
		free(unfit);
}
