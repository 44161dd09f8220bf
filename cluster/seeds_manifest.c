/* The manifest of a seed: its life, how it is collected where the seed was made, and how it is told
 * to peers. What other nodes conclude from it: seeds_software.c. */
#include "cluster/seeds_files.h"
#include "cluster/seeds_internal.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "cluster/blobs.h"
#include "cluster/bundle_archive.h"
#include "cluster/bus.h"
#include "cluster/node.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* a peer that waits for it */
struct asker {
	struct list link;
	struct bus_request *request;
};

/* --- its life --- */

struct seed_manifest *seed_manifest_new(struct seed *seed)
{
	struct seed_manifest *m = calloc(1, sizeof(*m));
	if (!m)
		return NULL;
	m->seed = seed;
	m->node = seed->seeds->node;
	m->uid = seed->app->uid;
	m->gid = seed->app->gid;
	m->begun_ns = now_ns();
	m->refs = 1;
	snprintf(m->store_dir, sizeof(m->store_dir), "%s/store", m->node->config.dir);
	list_init(&m->askers);
	return m;
}

static void forget_roots(struct seed_manifest *m)
{
	for (unsigned i = 0; i < m->nroots; i++)
		free(m->roots[i]);
	free(steal_ptr(&m->roots));
	m->nroots = 0;
}

struct seed_manifest *seed_manifest_get(struct seed_manifest *m)
{
	m->refs++;
	return m;
}

void seed_manifest_put(struct seed_manifest *m)
{
	if (--m->refs > 0)
		return;
	forget_roots(m);
	free(m->collected);
	blob_put(m->blob);
	free(m->hashes);
	free(m->hashed);
	free(m->lacking.lacking);
	free(m->lacking.unsure);
	free(m);
}

int seed_manifest_keep(struct seed_manifest *m, void *bytes, size_t len, struct ramet_err *err)
{
	m->blob = blob_share(m->node->blobs, bytes, len);
	if (!m->blob) {
		free(bytes);
		return err_nomem(err);
	}
	manifest_view(blob_data(m->blob), &m->manifest);
	return 0;
}

static void refuse_askers(struct seed_manifest *m, const struct ramet_err *why)
{
	while (!list_empty(&m->askers)) {
		struct asker *asker = list_first(&m->askers, struct asker, link);
		list_remove(&asker->link);
		bus_reply_err(asker->request, why);
		free(asker);
	}
}

void seed_manifest_destroy(struct seed_manifest *m)
{
	struct ramet_err why = {0};
	if (!m)
		return;
	err_set(&why, RAMET_EREVOKED, "the seed is gone");
	refuse_askers(m, &why);
	if (m->bus_id)
		bus_forget(m->node->bus, m->bus_id);
	seed_hashes_forget(m->want);
	loop_timer_cancel(&m->again);
	loop_timer_cancel(&m->patience);
	m->seed = NULL;
	seed_manifest_put(m);
}

const struct manifest *seed_manifest_view(const struct seed *seed)
{
	const struct seed_manifest *m = seed->manifest;
	return m && m->blob ? &m->manifest : NULL;
}

bool seed_manifest_names(const struct seed *seed, const uint8_t sha256[32], char *path, size_t cap)
{
	const struct manifest *m = seed_manifest_view(seed);
	for (uint32_t i = 0; m && i < m->header->nentries; i++)
		if (seed->manifest->hashed[i] &&
			memcmp(&seed->manifest->hashes[i], sha256, SHA256_LEN) == 0)
			return manifest_path(m, i, path, cap) == 0;
	return false;
}

/* --- on a worker --- */

static void collect(struct seed_manifest *m)
{
	const struct collect what = {
		.uid = m->uid,
		.gid = m->gid,
		.roots = (const char *const *)m->roots,
		.nroots = m->nroots,
		.store_dir = m->store_dir,
	};
	if (manifest_collect(&what, &m->collected, &m->len, &m->err) == 0)
		(void)manifest_open(m->collected, m->len, &m->manifest, &m->err);
}

static void run_collect(struct work *work)
{
	collect(container_of(work, struct seed_manifest, work));
}

void seed_manifest_submit(struct seed_manifest *m, struct workers *workers,
	void (*run)(struct work *work), void (*done)(struct work *work))
{
	m->work.run = run;
	m->work.done = done;
	m->working = true;
	m->refs++;
	workers_submit(workers, &m->work);
}

/* --- where the seed was made --- */

int seed_take_roots(struct seed *seed, const struct wire_value *body, struct ramet_err *err)
{
	const struct wire_value *array = NULL;
	uint32_t count = 0;
	if (seed->manifest || !wire_has(body, "roots"))
		return 0;
	int rc = wire_get_array(body, "roots", &array, &count, err);
	if (rc < 0)
		return rc;
	seed->manifest = seed_manifest_new(seed);
	struct seed_manifest *m = seed->manifest;
	count = MIN(count, (uint32_t)COLLECT_MAX_ROOTS);
	if (m)
		m->roots = calloc(count + 1, sizeof(*m->roots));
	if (!m || !m->roots)
		return err_nomem(err);
	for (uint32_t i = 0; i < count; i++) {
		const char *text = NULL;
		size_t len = 0;
		rc = wire_as_span(wire_at(array, i), &text, &len, err);
		if (rc < 0)
			return rc;
		m->roots[m->nroots] = strndup(text, len);
		if (!m->roots[m->nroots])
			return err_nomem(err);
		m->nroots++;
	}
	return 0;
}

/* what it maps is put before what its engine named */
static int add_mapped(struct seed_manifest *m, const struct descriptor_view *desc)
{
	unsigned total = m->nroots + desc->nfiles;
	char **roots = calloc(total + 1, sizeof(*roots));
	if (!roots)
		return RAMET_ENOMEM;
	for (uint32_t i = 0; i < desc->nfiles; i++) {
		roots[i] = strdup(descriptor_string(desc, desc->files[i].path));
		if (!roots[i]) {
			while (i > 0)
				free(roots[--i]);
			free(roots);
			return RAMET_ENOMEM;
		}
	}
	for (unsigned i = 0; i < m->nroots; i++)
		roots[desc->nfiles + i] = m->roots[i];
	free(m->roots);
	m->roots = roots;
	m->nroots = total;
	return 0;
}

/* Of where its software lies, and on which node, in whatever order; an app's own files come with
 * it. */
static uint64_t key_of(const struct seed_manifest *m)
{
	static const char apps[] = BUNDLE_SANDBOX_DIR "/";
	uint64_t key = m->node->config.node;
	for (unsigned i = 0; i < m->nroots; i++)
		if (strncmp(m->roots[i], apps, sizeof(apps) - 1) != 0)
			key += hash64(m->roots[i], strlen(m->roots[i]));
	return key;
}

static void answer(const struct seed_manifest *m, struct bus_request *request)
{
	struct buf b = {0};
	wire_map(&b, 1);
	wire_kbin(&b, "manifest", blob_data(m->blob), blob_len(m->blob));
	bus_reply(request, &b);
}

static void answer_askers(struct seed_manifest *m)
{
	while (!list_empty(&m->askers)) {
		struct asker *asker = list_first(&m->askers, struct asker, link);
		list_remove(&asker->link);
		answer(m, asker->request);
		free(asker);
	}
}

static void collected(struct seed_manifest *m)
{
	forget_roots(m);
	if (m->err.code == 0)
		(void)seed_hashes_init(m, &m->err);
	if (m->err.code == 0)
		(void)seed_manifest_keep(m, steal_ptr(&m->collected), m->len, &m->err);
	if (m->err.code < 0) {
		log_err(LOG_WARN, "manifest.collect", &m->err);
		free(steal_ptr(&m->collected));
		refuse_askers(m, &m->err);
		return;
	}
	if (m->manifest.header->cut)
		log_warn("manifest.cut",
			"version=%.12s files=%u bytes=%llu msg=\"there were more: nodes without "
			"them cannot open those\"",
			m->seed->app->id, m->manifest.header->nentries,
			(unsigned long long)m->manifest.header->bytes);
	log_debug("manifest.collected", "version=%.12s files=%u bytes=%llu ms=%llu",
		m->seed->app->id, m->manifest.header->nentries,
		(unsigned long long)m->manifest.header->bytes,
		(unsigned long long)((now_ns() - m->begun_ns) / NSEC_PER_MSEC));
	answer_askers(m);
}

static void on_collected(struct work *work)
{
	struct seed_manifest *m = container_of(work, struct seed_manifest, work);
	m->working = m->collecting = false;
	if (m->seed)
		collected(m);
	seed_manifest_put(m);
}

void seed_manifest_collect(struct seed *seed)
{
	struct seed_manifest *m = seed->manifest;
	if (!m)
		m = seed->manifest = seed_manifest_new(seed);
	if (!m || m->working || m->blob)
		return;
	if (add_mapped(m, &seed->image->desc) < 0)
		return;
	seed->software_key = key_of(m);
	m->collecting = true;
	seed_manifest_submit(m, m->node->background, run_collect, on_collected);
}

/* --- asked by a peer --- */

static int queue_asker(struct seed_manifest *m, struct bus_request *request, struct ramet_err *err)
{
	struct asker *asker = calloc(1, sizeof(*asker));
	if (!asker)
		return err_nomem(err);
	asker->request = request;
	list_append(&m->askers, &asker->link);
	return 0;
}

void seeds_on_manifest(
	struct seeds *seeds, struct bus_request *request, const struct wire_value *body)
{
	struct ramet_err err = {0};
	struct seed *seed = NULL;
	int rc = seed_find_for_peer(seeds, body, &seed, &err);
	if (rc == 0 && fault_hit("manifest.late"))
		rc = err_set(&err, RAMET_ETIMEOUT, "injected");
	struct seed_manifest *m = rc == 0 ? seed->manifest : NULL;
	if (m && m->blob) {
		answer(m, request);
		return;
	}
	if (rc == 0 && m && seed->origin && m->working)
		rc = queue_asker(m, request, &err);
	else if (rc == 0)
		rc = err_set(&err, RAMET_ENOTFOUND, "node %u has no manifest of version %.12s",
			seeds->node->config.node, seed->app->id);
	if (rc < 0)
		bus_reply_err(request, &err);
}
