/* Over which transport a node's memory is read: RDMA where both ends have it, TCP otherwise, and
 * for a while when RDMA did not get there. Told once for each node, and when it changes. */
#include "cluster/seeds_internal.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "cluster/node.h"
#include "cluster/segments.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BARRED_NS (30 * NSEC_PER_SEC)

static struct seed_path *path_find(const struct seeds *seeds, uint32_t node)
{
	list_for_each (path, &seeds->paths, struct seed_path, link) {
		if (path->node == node)
			return path;
	}
	return NULL;
}

bool seeds_path_verbs(const struct seeds *seeds, uint32_t node)
{
	const struct segments *segments = seeds->node->segments;
	const struct seed_path *path = path_find(seeds, node);
	bool have = false;
	for (unsigned way = 0; way < segments_ways(segments); way++)
		have |= strcmp(segments_provider(segments, way), "verbs") == 0;
	return have && (!path || now_ns() >= path->barred_until_ns);
}

void seeds_path_taken(struct seeds *seeds, uint32_t node, const char *provider)
{
	struct seed_path *path = path_find(seeds, node);
	if (path && strcmp(path->provider, provider) == 0)
		return;
	if (!path) {
		path = calloc(1, sizeof(*path));
		if (!path)
			return; /* it is told next time */
		path->node = node;
		list_append(&seeds->paths, &path->link);
	}
	snprintf(path->provider, sizeof(path->provider), "%s", provider);
	log_info("data.transport", "node=%u transport=%s", node, provider);
}

void seeds_path_lost(
	struct seeds *seeds, uint32_t node, const char *provider, const struct ramet_err *err)
{
	struct seed_path *path = path_find(seeds, node);
	if (!path || strcmp(provider, "verbs") != 0 || err->code == RAMET_EREVOKED)
		return;
	if (now_ns() >= path->barred_until_ns)
		log_warn("data.no_rdma", "node=%u msg=\"%s\"", node, err->msg);
	path->barred_until_ns = now_ns() + BARRED_NS;
}

void seeds_paths_fini(struct seeds *seeds)
{
	list_for_each_safe (path, &seeds->paths, struct seed_path, link)
		free(path);
}
