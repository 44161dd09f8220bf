/* The manifest of a seed: collected where the seed was made, and compared with what is here on
 * every other node that forks the seed.
 *
 * The first forks on a node wait for that comparison. If all files that the seed maps are there
 * they wait for two seconds at most, and not at all where another seed of that node, whose files
 * lay at the same places, lacked none. Where the comparison says otherwise after all, templates are
 * made anew with a view (seeds_view.c). */
#include "cluster/seeds_files.h"
#include "cluster/seeds_internal.h"

#include "base/cancel.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "cluster/bundle_archive.h"
#include "cluster/bus.h"
#include "cluster/node.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FORKS_WAIT_NS (2 * NSEC_PER_SEC) /* at most, where all files that the seed maps are */
#define TRIES_MAX 3 /* after the first */
#define FIRST_PAUSE_NS (250 * NSEC_PER_MSEC) /* and twice as long each time */

/* a peer that waits for it */
struct asker {
	struct list link;
	struct bus_request *request;
};

static void on_worked(struct work *work);

/* --- its life --- */

static struct seed_manifest *manifest_new(struct seed *seed)
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
	free(m->bytes);
	free(m->hashes);
	free(m->hashed);
	free(m->lacking.lacking);
	free(m->lacking.unsure);
	free(m);
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
	return seed->manifest && seed->manifest->bytes ? &seed->manifest->manifest : NULL;
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
	if (manifest_collect(&what, &m->bytes, &m->len, &m->err) == 0)
		(void)manifest_open(m->bytes, m->len, &m->manifest, &m->err);
}

static void compare(struct seed_manifest *m)
{
	uint32_t n = m->manifest.header->nentries;
	m->lacking.lacking = calloc(n, 1);
	m->lacking.unsure = calloc(n, 1);
	if (m->lacking.lacking && m->lacking.unsure)
		manifest_compare(&m->manifest, m->uid, m->gid, &m->lacking);
	else
		err_nomem(&m->err);
}

/* nobody asks for hashes of this manifest meanwhile: there is no view yet */
static void compare_hashed(struct seed_manifest *m)
{
	for (uint32_t i = 0; i < m->manifest.header->nentries && !cancel_asked(); i++) {
		if (!m->lacking.unsure[i])
			continue;
		auto_close int fd = m->hashed[i]
			? manifest_open_same(&m->manifest, i, m->uid, m->gid, &m->hashes[i])
			: -1;
		m->lacking.lacking[i] = fd < 0;
		m->lacking.nlacking += fd < 0;
	}
}

static void run(struct work *work)
{
	struct seed_manifest *m = container_of(work, struct seed_manifest, work);
	switch (m->job) {
	case JOB_COLLECT:
		collect(m);
		break;
	case JOB_COMPARE:
		compare(m);
		break;
	case JOB_COMPARE_HASHED:
		compare_hashed(m);
		break;
	}
}

static void submit(struct seed_manifest *m, enum manifest_job job)
{
	m->job = job;
	m->work.run = run;
	m->work.done = on_worked;
	m->working = true;
	m->refs++;
	workers_submit(job == JOB_COLLECT ? m->node->background : m->node->workers, &m->work);
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
	seed->manifest = manifest_new(seed);
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

void seed_manifest_collect(struct seed *seed)
{
	struct seed_manifest *m = seed->manifest;
	if (!m)
		m = seed->manifest = manifest_new(seed);
	if (!m || m->working || m->bytes)
		return;
	if (add_mapped(m, &seed->image->desc) < 0)
		return;
	seed->software_key = key_of(m);
	submit(m, JOB_COLLECT);
}

static void answer(const struct seed_manifest *m, struct bus_request *request)
{
	struct buf b = {0};
	wire_map(&b, 1);
	wire_kbin(&b, "manifest", m->bytes, m->len);
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
		seed_hashes_init(m, &m->err);
	if (m->err.code < 0) {
		log_err(LOG_WARN, "manifest.collect", &m->err);
		free(steal_ptr(&m->bytes));
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

/* --- on other nodes --- */

static void decide(struct seed_manifest *m, enum seed_software software)
{
	struct seed *seed = m->seed;
	seed->software = software;
	loop_timer_cancel(&m->patience);
	if (software == SOFTWARE_LACKING)
		log_info("manifest.lacking", "version=%.12s files=%u of=%u", seed->app->id,
			m->lacking.nlacking, m->manifest.header->nentries);
	seed_software_known(seed);
}

static bool seen(const struct seed *seed)
{
	const struct seeds_same *same = &seed->seeds->same;
	for (unsigned i = 0; seed->software_key && i < SEEDS_SAME_MAX; i++)
		if (same->keys[i] == seed->software_key)
			return true;
	return false;
}

bool seed_software_supposed(const struct seed *seed)
{
	return (seed->manifest && seed->manifest->late) || seen(seed);
}

/* The origin may be slow. */
static void on_late(struct loop_timer *timer)
{
	struct seed_manifest *m = container_of(timer, struct seed_manifest, patience);
	log_warn("manifest.late", "version=%.12s msg=\"forks go on, as if all were here\"",
		m->seed->app->id);
	m->late = true;
	templates_go(m->seed);
}

static void all_is_here(struct seed_manifest *m)
{
	const struct seed *seed = m->seed;
	struct seeds_same *same = &seed->seeds->same;
	if (seed->software_key && !seen(seed))
		same->keys[same->next++ % SEEDS_SAME_MAX] = seed->software_key;
	log_debug("manifest.same", "version=%.12s files=%u ms=%llu", seed->app->id,
		m->manifest.header->nentries,
		(unsigned long long)((now_ns() - m->begun_ns) / NSEC_PER_MSEC));
	decide(m, SOFTWARE_HERE);
}

static void ask_again(struct loop_timer *timer);

/* A node that is slow, or lost for a moment, is asked again; one that says no is not. In the end
 * forks go on without: what a clone does not find then is the application's error. */
static void failed(struct seed_manifest *m, const struct ramet_err *err)
{
	bool passes = err->code == RAMET_ETIMEOUT || err->code == RAMET_ELOST ||
		err->code == RAMET_ECANCELED || err->code == RAMET_EAGAIN;
	bool again = passes && m->tries < TRIES_MAX &&
		loop_timer_set(m->node->loop, &m->again, now_ns() + (FIRST_PAUSE_NS << m->tries),
			ask_again) == 0;
	log_warn("manifest.fetch", "version=%.12s err=%s msg=\"%s\" again=%s", m->seed->app->id,
		err_name(err->code), err->msg, again ? "yes" : "no");
	if (again)
		m->tries++;
	else
		decide(m, SOFTWARE_HERE);
}

static int take_bytes(struct seed_manifest *m, const struct wire_value *body, struct ramet_err *err)
{
	const void *bytes = NULL;
	size_t len = 0;
	int rc = wire_get_bin(body, "manifest", &bytes, &len, err);
	if (rc < 0)
		return rc;
	auto_free void *copy = malloc(len ? len : 1);
	if (!copy)
		return err_nomem(err);
	memcpy(copy, bytes, len);
	rc = manifest_open(copy, len, &m->manifest, err);
	if (rc == 0)
		rc = seed_hashes_init(m, err);
	if (rc < 0)
		return rc;
	m->bytes = steal_ptr(&copy);
	m->len = len;
	return 0;
}

static void on_manifest(void *user, const struct wire_value *body, const struct ramet_err *error)
{
	struct seed_manifest *m = user;
	struct ramet_err err = {0};
	m->bus_id = 0;
	if (error || take_bytes(m, body, &err) < 0)
		failed(m, error ? error : &err);
	else
		submit(m, JOB_COMPARE);
}

static int ask(struct seed_manifest *m, struct ramet_err *err)
{
	struct buf b = {0};
	seed_key_request(m->seed, 0, &b);
	return bus_call(m->node->bus, m->seed->source_node, "seed.manifest", &b,
		SEEDS_PEER_MS * NSEC_PER_MSEC, on_manifest, m, &m->bus_id, err);
}

/* The hashes of the next files that are not sure to be the same; when all are there, they tell. */
static void on_hashes(void *user, const struct ramet_err *error)
{
	struct seed_manifest *m = user;
	struct ramet_err err = {0};
	uint32_t entries[SEED_HASHES_MAX];
	uint32_t n = 0;
	m->want = NULL;
	if (error) {
		failed(m, error);
		return;
	}
	for (; m->asked < m->manifest.header->nentries && n < SEED_HASHES_MAX; m->asked++)
		if (m->lacking.unsure[m->asked] && !m->hashed[m->asked])
			entries[n++] = m->asked;
	if (n == 0)
		submit(m, JOB_COMPARE_HASHED);
	else if (seed_hashes_want(m->seed, entries, n, on_hashes, m, &m->want, &err) < 0)
		failed(m, &err);
}

static void ask_again(struct loop_timer *timer)
{
	struct seed_manifest *m = container_of(timer, struct seed_manifest, again);
	struct ramet_err err = {0};
	if (m->bytes) {
		m->asked = 0;
		on_hashes(m, NULL);
	} else if (ask(m, &err) < 0) {
		failed(m, &err);
	}
}

/* A view shows all: what is not sure to be the same is then not asked about. */
static void compared(struct seed_manifest *m)
{
	uint32_t n = m->manifest.header->nentries;
	if (m->err.code < 0) {
		failed(m, &m->err);
	} else if (m->lacking.nlacking > 0) {
		for (uint32_t i = 0; i < n; i++)
			m->lacking.lacking[i] |= m->lacking.unsure[i];
		m->lacking.nlacking += m->lacking.nunsure;
		decide(m, SOFTWARE_LACKING);
	} else if (m->lacking.nunsure > 0) {
		on_hashes(m, NULL);
	} else {
		all_is_here(m);
	}
}

void seed_manifest_fetch(struct seed *seed)
{
	struct ramet_err err = {0};
	if (seed->manifest || seed->software != SOFTWARE_UNKNOWN)
		return;
	struct seed_manifest *m = seed->manifest = manifest_new(seed);
	if (!m || !spawn_client_caps(seed->seeds->node->spawn)->sandbox ||
		loop_timer_set(m->node->loop, &m->patience, now_ns() + FORKS_WAIT_NS, on_late) < 0)
		seed->software = SOFTWARE_HERE;
	else if (ask(m, &err) < 0)
		failed(m, &err);
}

static void on_worked(struct work *work)
{
	struct seed_manifest *m = container_of(work, struct seed_manifest, work);
	m->working = false;
	if (m->seed && m->job == JOB_COLLECT)
		collected(m);
	else if (m->seed && m->job == JOB_COMPARE)
		compared(m);
	else if (m->seed && m->lacking.nlacking)
		decide(m, SOFTWARE_LACKING);
	else if (m->seed)
		all_is_here(m);
	seed_manifest_put(m);
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
	if (m && m->bytes && m->err.code == 0) {
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
