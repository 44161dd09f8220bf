/* What the first calls on a copy of a seed touched is what they will touch on other nodes: the
 * seed's own node is told, once, for its working set.
 *
 * The pager's log has every page that a fault brought in, so it is exact while nothing else brings
 * pages in. A call that is still running when the drain begins touches pages that the log does not
 * have. Its page tables have them all, with neighbours: the kernel maps up to 16 pages of the image
 * at a fault. Before the call has ended, nobody knows. */
#include "cluster/seeds_internal.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "cluster/bus.h"
#include "cluster/node.h"

#include <stdlib.h>
#include <string.h>

static void tell(struct seed *seed, const struct working_set *set)
{
	CLEANUP(buf_fini) struct buf b = {0};
	auto_free void *bytes = NULL;
	size_t len = 0;
	if (working_set_encode(set, &bytes, &len, NULL) < 0)
		return;
	log_debug("seed.touched", "version=%.12s pages=%llu tables=%d", seed->app->id,
		(unsigned long long)working_set_pages(set), seed->touched != NULL);
	seed_key_request(seed, 1, &b);
	wire_kbin(&b, "set", bytes, len);
	if (wire_end(&b, NULL) == 0)
		bus_notify(seed->seeds->node->bus, seed->source_node, "seed.set", &b);
}

/* in the order of the log, then what only the page tables have */
static int make_set(const struct seed *seed, const uint32_t *pages, uint64_t count,
	struct working_set **ret_set)
{
	uint64_t mapped = seed->touched ? working_set_pages(seed->touched) : 0;
	auto_free uint32_t *all = malloc(MAX(count + mapped, 1ull) * sizeof(*all));
	if (!all)
		return RAMET_ENOMEM;
	if (count > 0)
		memcpy(all, pages, count * sizeof(*all));
	if (mapped > 0)
		working_set_flatten(seed->touched, all + count);
	return working_set_create(seed->image->npages, all, count + mapped, ret_set, NULL);
}

static void on_log(void *user, const uint32_t *pages, uint64_t count, const struct ramet_err *err)
{
	struct seed *seed = user;
	auto_working_set struct working_set *set = NULL;
	if (err->code == 0 && make_set(seed, pages, count, &set) == 0 && working_set_pages(set) > 0)
		tell(seed, set);
	else
		seed->touched_told = false;
	working_set_destroy(steal_ptr(&seed->touched));
	seed_drain(seed);
}

bool seed_touched_tell(struct seed *seed, const struct instance *inst)
{
	struct instance_info info;
	struct ramet_err err = {0};
	if (seed->set || seed->touched_told)
		return false;
	instance_get_info(inst, &info);
	int rc = seed->drained
		? working_set_record(info.pid, &seed->image->desc, &seed->touched, &err)
		: 0;
	if (rc == 0)
		rc = pager_seed_log(seed->pager, on_log, seed, &err);
	if (rc < 0) {
		log_err(LOG_WARN, "seed.touched", &err);
		working_set_destroy(steal_ptr(&seed->touched));
	}
	seed->touched_told = rc == 0;
	return rc == 0;
}
