/* The page cache of one tenant on this node (limits.tenant.cache): what the images of its seeds
 * take when they are complete. For a new one copies of other nodes' seeds go that nobody uses, and
 * seeds of versions that were replaced; without room it is refused. A pack of a working set, which
 * only saves time, is made if there is room for it and all others; it keeps no seed from coming. */
#include "cluster/seeds_internal.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "cluster/node.h"

struct sum {
	const struct seed *except;
	uint64_t bytes;
};

/* whether another seed before this one (NULL: any) has the layer, too */
static bool counted(const struct sum *sum, const struct layer *layer, const struct seed *until)
{
	const struct seeds *seeds = sum->except->seeds;
	const struct list *lists[] = {&seeds->list, &seeds->dropped};
	for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
		list_for_each (seed, lists[i], struct seed, link) {
			if (seed == until)
				return false;
			if (seed != sum->except && seed->image && seed->image->layer == layer)
				return true;
		}
	}
	return false;
}

/* pages of a base count once for all that have them */
static void add(struct sum *sum, const struct image *image, const struct seed *seed)
{
	const struct layer *layer = image ? image->layer : NULL;
	if (image)
		sum->bytes += image->nown * RFORK_PAGE;
	if (layer && !counted(sum, layer, seed))
		sum->bytes += layer->npages * RFORK_PAGE;
}

static uint64_t packs_of(const struct seed *seed)
{
	uint64_t bytes = 0;
	list_for_each (pack, &seed->packs, struct seed_pack, link)
		bytes += pack->len;
	return bytes;
}

static uint64_t used(const struct seed *except)
{
	const struct seeds *seeds = except->seeds;
	struct sum sum = {.except = except};
	list_for_each (seed, &seeds->list, struct seed, link)
		if (seed != except && seed->app->uid == except->app->uid)
			add(&sum, seed->image, seed);
	list_for_each (seed, &seeds->dropped, struct seed, link)
		if (seed->app->uid == except->app->uid) /* its instances live on */
			add(&sum, seed->image, seed);
	return sum.bytes;
}

/* what the image takes beside all that is there */
static uint64_t image_size(const struct seed *seed, const struct image *image)
{
	struct sum sum = {.except = seed};
	add(&sum, image, NULL);
	return sum.bytes;
}

bool seed_pack_fits(const struct seed *seed, uint64_t bytes)
{
	uint64_t limit = seed->seeds->node->config.quota.cache;
	uint64_t sum = bytes + used(seed) + image_size(seed, seed->image);
	list_for_each (other, &seed->seeds->list, struct seed, link)
		if (other->app->uid == seed->app->uid)
			sum += packs_of(other);
	return limit == 0 || sum <= limit;
}

static struct seed *find_idle(const struct seed *except)
{
	list_for_each (seed, &except->seeds->list, struct seed, link)
		if (seed != except && seed->app->uid == except->app->uid &&
			seed->state == SEED_READY && (seed->retired || !seed->origin) &&
			list_empty(&seed->children) && !seed_is_wanted(seed))
			return seed;
	return NULL;
}

int seed_admit(const struct seed *seed, const struct image *image, struct ramet_err *err)
{
	const struct node *node = seed->seeds->node;
	uint64_t limit = node->config.quota.cache;
	if (limit == 0)
		return 0;
	while (used(seed) + image_size(seed, image) > limit) {
		struct seed *idle = find_idle(seed);
		if (!idle)
			return err_set(err, RAMET_ELIMIT,
				"the memory of %s takes %llu KiB: user %u has %llu KiB of seeds on "
				"node %u, and may have %llu (limits.tenant.cache of its "
				"configuration): remove functions that are not needed",
				seed->app->app, (unsigned long long)image_size(seed, image) >> 10,
				seed->app->uid, (unsigned long long)used(seed) >> 10,
				node->config.node, (unsigned long long)limit >> 10);
		log_info("seed.evicted", "app=%s version=%.12s uid=%u", idle->app->app,
			idle->app->id, idle->app->uid);
		seed_drop(idle);
	}
	return 0;
}
