/* See data_paths.h. */
#include "cluster/data_paths.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/list.h"
#include "base/log.h"
#include "cluster/segments.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BARRED_NS (30 * NSEC_PER_SEC)
/* What was to be reached may have ended since it was offered. But who has no memory for a
 * connection says no more than that, either. */
#define REFUSALS 3

struct data_path {
	struct list link;
	uint32_t node;
	enum data_use use;
	char provider[16]; /* as last told */
	uint64_t barred_until_ns; /* RDMA did not get there */
	unsigned refusals; /* in a row */
};

struct data_paths {
	const struct segments *segments;
	struct list list;
};

static const char *const use_names[DATA_USES] = {
	[DATA_MEMORY] = "memory", [DATA_LEASES] = "leases"};

static struct data_path *find(const struct data_paths *paths, uint32_t node, enum data_use use)
{
	list_for_each (path, &paths->list, struct data_path, link) {
		if (path->node == node && path->use == use)
			return path;
	}
	return NULL;
}

bool data_paths_verbs(const struct data_paths *paths, uint32_t node, enum data_use use)
{
	const struct data_path *path = find(paths, node, use);
	return segments_way_of(paths->segments, "verbs") < SEGMENTS_WAYS_MAX &&
		(!path || now_ns() >= path->barred_until_ns);
}

void data_paths_taken(
	struct data_paths *paths, uint32_t node, enum data_use use, const char *provider)
{
	struct data_path *path = find(paths, node, use);
	if (path && strcmp(path->provider, provider) == 0)
		return;
	if (!path) {
		path = calloc(1, sizeof(*path));
		if (!path)
			return; /* it is told next time */
		path->node = node;
		path->use = use;
		list_append(&paths->list, &path->link);
	}
	snprintf(path->provider, sizeof(path->provider), "%s", provider);
	log_info("data.transport", "node=%u transport=%s use=%s", node, provider, use_names[use]);
}

void data_paths_lost(struct data_paths *paths, uint32_t node, enum data_use use,
	const char *provider, const struct ramet_err *err)
{
	struct data_path *path = find(paths, node, use);
	if (!path || strcmp(provider, "verbs") != 0 || err->code == RAMET_EREVOKED)
		return;
	if (err->code == RAMET_EPERM && ++path->refusals < REFUSALS)
		return;
	if (now_ns() >= path->barred_until_ns)
		log_warn("data.no_rdma", "node=%u use=%s msg=\"%s\"", node, use_names[use],
			err->msg);
	path->barred_until_ns = now_ns() + BARRED_NS;
	path->refusals = 0;
}

void data_paths_reached(struct data_paths *paths, uint32_t node, enum data_use use)
{
	struct data_path *path = find(paths, node, use);
	if (path)
		path->refusals = 0;
}

int data_paths_create(
	const struct segments *segments, struct data_paths **ret_paths, struct ramet_err *err)
{
	struct data_paths *paths = calloc(1, sizeof(*paths));
	if (!paths)
		return err_nomem(err);
	paths->segments = segments;
	list_init(&paths->list);
	*ret_paths = paths;
	return 0;
}

void data_paths_destroy(struct data_paths *paths)
{
	if (!paths)
		return;
	list_for_each_safe (path, &paths->list, struct data_path, link)
		free(path);
	free(paths);
}
