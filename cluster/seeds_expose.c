/* What peers may read of a seed: its image, and the pack of its working set, as segments. What they
 * are told when they ask for it: seeds_answer.c. */
#include "cluster/seeds_internal.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "cluster/calls.h"
#include "cluster/members.h"
#include "cluster/node.h"
#include "cluster/segments.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define PACK_PAGES_MAX 8192u /* 32 MiB: a larger working set is read from the image */

static void on_exposed(void *user, const struct ramet_err *err)
{
	struct seed *seed = user;
	const struct node *node = seed->seeds->node;
	if (err->code < 0) {
		log_err(LOG_WARN, "seed.expose", err);
	} else {
		seed->exposed = true;
		calls_touch(node->calls);
		if (node->members) { /* now: who gets a call for it before the next news starts it
					cold */
			seeds_publish(seed->seeds);
			members_flush(node->members);
			if (seed->origin)
				seed_foretell(seed);
		}
	}
	seed_makers_done(seed);
}

void seed_expose(struct seed *seed)
{
	struct ramet_err err = {0};
	if (seed->segment || seed->exposed)
		return;
	if (seed->origin && seed->seeds->node->config.npeers > 0)
		seed_manifest_collect(seed);
	if (seed->image->npages == 0) {
		seed->exposed = true;
		return;
	}
	if (segments_add(seed->seeds->node->segments, seed->app->uid, seed->image->base,
		    image_bytes(seed->image), on_exposed, seed, &seed->segment, &err) < 0)
		log_err(LOG_WARN, "seed.expose", &err);
}

static void image_drained(void *user)
{
	image_put(user);
}

static void pack_free(void *user)
{
	struct seed_pack *pack = user;
	if (pack->memory)
		munmap(pack->memory, pack->len);
	if (pack->fd >= 0)
		close(pack->fd);
	free(pack);
}

void seed_unexpose(struct seed *seed)
{
	seed->exposed = false;
	if (seed->segment)
		segments_remove(steal_ptr(&seed->segment), image_drained, image_get(seed->image));
	list_for_each_safe (pack, &seed->packs, struct seed_pack, link) {
		list_remove(&pack->link);
		segments_remove(pack->segment, pack_free, pack);
	}
}

/* Nobody else knows of them. */
static void remove_older(struct seed_pack *current)
{
	list_for_each_safe (pack, &current->seed->packs, struct seed_pack, link) {
		if (pack == current)
			return;
		if (pack->told)
			continue;
		list_remove(&pack->link);
		segments_remove(pack->segment, pack_free, pack);
	}
}

static void on_pack_exposed(void *user, const struct ramet_err *err)
{
	struct seed_pack *pack = user;
	struct seed *seed = pack->seed;
	if (err->code < 0)
		log_err(LOG_WARN, "seed.pack", err);
	else if (seed->packs.prev == &pack->link)
		seed->set_packed = true;
	if (seed->set_packed)
		remove_older(pack);
}

static int map_pack(struct seed_pack *pack, struct ramet_err *err)
{
	pack->fd = memfd_create("ramet-seed-pack", MFD_CLOEXEC);
	if (pack->fd < 0 || ftruncate(pack->fd, (off_t)pack->len) < 0)
		return err_errno(err, RAMET_EIO, "memfd for a working set");
	void *memory = mmap(NULL, pack->len, PROT_READ | PROT_WRITE, MAP_SHARED, pack->fd, 0);
	if (memory == MAP_FAILED)
		return err_errno(err, RAMET_ENOMEM, "map a working set of %zu bytes", pack->len);
	pack->memory = memory;
	return 0;
}

static int make_pack(struct seed *seed, struct ramet_err *err)
{
	uint64_t pages = working_set_pages(seed->set);
	if (pages == 0 || pages > PACK_PAGES_MAX || !image_complete(seed->image) ||
		!seed_pack_fits(seed, pages * RFORK_PAGE))
		return 0;
	struct seed_pack *pack = calloc(1, sizeof(*pack));
	if (!pack)
		return err_nomem(err);
	pack->seed = seed;
	pack->pages = pages;
	pack->len = pages * RFORK_PAGE;
	int rc = map_pack(pack, err);
	if (rc == 0)
		rc = working_set_pack(seed->set, seed->image, pack->memory, err);
	if (rc == 0)
		rc = segments_add(seed->seeds->node->segments, seed->app->uid, pack->memory,
			pack->len, on_pack_exposed, pack, &pack->segment, err);
	if (rc < 0) {
		pack_free(pack);
		return rc;
	}
	list_append(&seed->packs, &pack->link);
	return 0;
}

int seed_take_set(struct seed *seed, struct working_set *set, struct ramet_err *err)
{
	auto_working_set struct working_set *owned = set;
	seed->set_packed = false;
	if (seed->set) {
		int rc = working_set_merge(seed->set, set, err);
		if (rc < 0)
			return rc;
	} else {
		seed->set = steal_ptr(&owned);
	}
	return make_pack(seed, err);
}
