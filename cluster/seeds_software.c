/* Whether a node that forks a seed has the software of the seed's own node: the seed's manifest is
 * fetched and compared with what is here.
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
#include "base/log.h"
#include "cluster/bus.h"
#include "cluster/node.h"

#include <stdlib.h>
#include <string.h>

#define FORKS_WAIT_NS (2 * NSEC_PER_SEC) /* at most, where all files that the seed maps are */
#define TRIES_MAX 3 /* after the first */
#define FIRST_PAUSE_NS (250 * NSEC_PER_MSEC) /* and twice as long each time */

/* --- on a worker --- */

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

static void run_compare(struct work *work)
{
	compare(container_of(work, struct seed_manifest, work));
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

static void run_compare_hashed(struct work *work)
{
	compare_hashed(container_of(work, struct seed_manifest, work));
}

/* --- what comes of it --- */

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
	return rc < 0 ? rc : seed_manifest_keep(m, steal_ptr(&copy), len, err);
}

static void on_compared_hashed(struct work *work)
{
	struct seed_manifest *m = container_of(work, struct seed_manifest, work);
	m->working = false;
	if (m->seed && m->lacking.nlacking)
		decide(m, SOFTWARE_LACKING);
	else if (m->seed)
		all_is_here(m);
	seed_manifest_put(m);
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
		seed_manifest_submit(m, m->node->workers, run_compare_hashed, on_compared_hashed);
	else if (seed_hashes_want(m->seed, entries, n, on_hashes, m, &m->want, &err) < 0)
		failed(m, &err);
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

static void on_compared(struct work *work)
{
	struct seed_manifest *m = container_of(work, struct seed_manifest, work);
	m->working = false;
	if (m->seed)
		compared(m);
	seed_manifest_put(m);
}

/* --- asking for it --- */

static void on_manifest(void *user, const struct wire_value *body, const struct ramet_err *error)
{
	struct seed_manifest *m = user;
	struct ramet_err err = {0};
	m->bus_id = 0;
	if (error || take_bytes(m, body, &err) < 0)
		failed(m, error ? error : &err);
	else
		seed_manifest_submit(m, m->node->workers, run_compare, on_compared);
}

static int ask(struct seed_manifest *m, struct ramet_err *err)
{
	struct buf b = {0};
	seed_key_request(m->seed, 0, &b);
	return bus_call(m->node->bus, m->seed->source_node, "seed.manifest", &b,
		SEEDS_PEER_MS * NSEC_PER_MSEC, on_manifest, m, &m->bus_id, err);
}

static void ask_again(struct loop_timer *timer)
{
	struct seed_manifest *m = container_of(timer, struct seed_manifest, again);
	struct ramet_err err = {0};
	if (m->blob) {
		m->asked = 0;
		on_hashes(m, NULL);
	} else if (ask(m, &err) < 0) {
		failed(m, &err);
	}
}

void seed_manifest_fetch(struct seed *seed)
{
	struct ramet_err err = {0};
	if (seed->manifest || seed->software != SOFTWARE_UNKNOWN)
		return;
	struct seed_manifest *m = seed->manifest = seed_manifest_new(seed);
	if (!m || !spawn_client_caps(seed->seeds->node->spawn)->sandbox ||
		loop_timer_set(m->node->loop, &m->patience, now_ns() + FORKS_WAIT_NS, on_late) < 0)
		seed->software = SOFTWARE_HERE;
	else if (ask(m, &err) < 0)
		failed(m, &err);
}
