/* Hashes of a manifest's files: taken where the seed was made, when a node that lacks a file asks.
 * A copy tells those that it was told. */
#include "cluster/seeds_files.h"

#include "base/cancel.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "cluster/bus.h"
#include "cluster/file_transfer.h"
#include "cluster/node.h"

#include <stdlib.h>
#include <string.h>

#define HASHES_MS 60000 /* until a source has hashed them */
#define ANSWER_BYTES (1 + SHA256_LEN) /* of each: known, hash */

int seed_hashes_init(struct seed_manifest *m, struct ramet_err *err)
{
	uint32_t n = m->manifest.header->nentries;
	free(m->hashes); /* of an earlier try */
	free(m->hashed);
	m->hashes = calloc(n, sizeof(*m->hashes));
	m->hashed = calloc(n, 1);
	return m->hashes && m->hashed ? 0 : err_nomem(err);
}

/* --- asking --- */

struct hashes_want {
	struct seed *seed;
	uint32_t entries[SEED_HASHES_MAX];
	uint32_t count;
	uint32_t nodes[FILE_MAX_SOURCES];
	unsigned nnodes, node;
	uint64_t bus_id;
	hashes_done_fn *fn;
	void *user;
};

static int take_hashes(
	const struct hashes_want *want, const struct wire_value *body, struct ramet_err *err)
{
	struct seed_manifest *m = want->seed->manifest;
	const void *bytes = NULL;
	size_t len = 0;
	int rc = wire_get_bin(body, "hashes", &bytes, &len, err);
	if (rc < 0)
		return rc;
	if (len != (size_t)want->count * ANSWER_BYTES)
		return err_set(
			err, RAMET_EPROTO, "hashes: %zu bytes for %u files", len, want->count);
	for (uint32_t i = 0; i < want->count; i++) {
		const unsigned char *at = (const unsigned char *)bytes + (size_t)i * ANSWER_BYTES;
		if (!at[0])
			continue;
		memcpy(&m->hashes[want->entries[i]], at + 1, SHA256_LEN);
		m->hashed[want->entries[i]] = 1;
	}
	return 0;
}

static int ask(struct hashes_want *want, struct ramet_err *err);

static void on_hashes(void *user, const struct wire_value *body, const struct ramet_err *error)
{
	struct hashes_want *want = user;
	struct ramet_err err = {0};
	want->bus_id = 0;
	if (error)
		err_copy(&err, error);
	int rc = error ? error->code : take_hashes(want, body, &err);
	while (rc < 0 && ++want->node < want->nnodes) {
		struct ramet_err next = {0};
		if (ask(want, &next) == 0)
			return;
	}
	hashes_done_fn *fn = want->fn;
	void *of = want->user;
	free(want);
	fn(of, rc < 0 ? &err : NULL);
}

static int ask(struct hashes_want *want, struct ramet_err *err)
{
	struct buf b = {0};
	seed_key_request(want->seed, 1, &b);
	wire_key(&b, "entries");
	wire_array(&b, want->count);
	for (uint32_t i = 0; i < want->count; i++)
		wire_uint(&b, want->entries[i]);
	return bus_call(want->seed->seeds->node->bus, want->nodes[want->node], "seed.hashes", &b,
		HASHES_MS * NSEC_PER_MSEC, on_hashes, want, &want->bus_id, err);
}

int seed_hashes_want(struct seed *seed, const uint32_t *entries, uint32_t count, hashes_done_fn *fn,
	void *user, struct hashes_want **ret_want, struct ramet_err *err)
{
	struct hashes_want *want = calloc(1, sizeof(*want));
	if (!want)
		return err_nomem(err);
	want->seed = seed;
	want->count = count;
	want->fn = fn;
	want->user = user;
	memcpy(want->entries, entries, count * sizeof(entries[0]));
	want->nnodes = seed_sources(seed, want->nodes, FILE_MAX_SOURCES);
	int rc = err_set(err, RAMET_EPEER, "no node that has the files is up");
	for (; rc < 0 && want->node < want->nnodes; want->node += rc < 0)
		rc = ask(want, err);
	if (rc < 0)
		free(want);
	else
		*ret_want = want;
	return rc;
}

void seed_hashes_forget(struct hashes_want *want)
{
	if (!want)
		return;
	bus_forget(want->seed->seeds->node->bus, want->bus_id);
	free(want);
}

/* --- being asked --- */

struct hash_job {
	struct work work;
	struct seed_manifest *manifest;
	struct bus_request *request;
	uint32_t count;
	struct {
		uint32_t entry;
		uint8_t known;
		struct sha256 sha256;
	} files[SEED_HASHES_MAX];
};

/* on a worker */
static void hash_run(struct work *work)
{
	struct hash_job *job = container_of(work, struct hash_job, work);
	const struct seed_manifest *m = job->manifest;
	for (uint32_t i = 0; i < job->count && !cancel_asked(); i++)
		if (!job->files[i].known)
			job->files[i].known = manifest_hash(&m->manifest, job->files[i].entry,
						      m->uid, m->gid, &job->files[i].sha256) == 0;
}

static void hash_done(struct work *work)
{
	struct hash_job *job = container_of(work, struct hash_job, work);
	struct seed_manifest *m = job->manifest;
	unsigned char bytes[SEED_HASHES_MAX * ANSWER_BYTES];
	struct buf b = {0};
	for (uint32_t i = 0; i < job->count; i++) {
		unsigned char *at = bytes + (size_t)i * ANSWER_BYTES;
		at[0] = job->files[i].known;
		memcpy(at + 1, &job->files[i].sha256, SHA256_LEN);
		if (!job->files[i].known)
			continue;
		m->hashes[job->files[i].entry] = job->files[i].sha256;
		m->hashed[job->files[i].entry] = 1;
	}
	wire_map(&b, 1);
	wire_kbin(&b, "hashes", bytes, (size_t)job->count * ANSWER_BYTES);
	bus_reply(job->request, &b); /* also if the bus has gone meanwhile */
	seed_manifest_put(m);
	free(job);
}

static int fill(struct hash_job *job, const struct wire_value *array, struct ramet_err *err)
{
	const struct seed_manifest *m = job->manifest;
	for (uint32_t i = 0; i < job->count; i++) {
		uint64_t entry = 0;
		int rc = wire_as_uint(
			wire_at(array, i), m->manifest.header->nentries - 1, &entry, err);
		if (rc < 0)
			return rc;
		if (m->manifest.entries[entry].type != MANIFEST_FILE)
			return err_set(err, RAMET_EPROTO, "entry %u is no file", (unsigned)entry);
		job->files[i].entry = (uint32_t)entry;
		job->files[i].known = m->hashed[entry];
		job->files[i].sha256 = m->hashes[entry];
	}
	return 0;
}

static int begin_job(struct seed_manifest *m, struct bus_request *request,
	const struct wire_value *array, uint32_t count, struct ramet_err *err)
{
	auto_free struct hash_job *job = calloc(1, sizeof(*job));
	if (!job)
		return err_nomem(err);
	job->manifest = m;
	job->request = request;
	job->count = count;
	int rc = fill(job, array, err);
	if (rc < 0)
		return rc;
	job->work.run = hash_run;
	job->work.done = hash_done;
	(void)seed_manifest_get(m);
	workers_submit(m->node->workers, &steal_ptr(&job)->work);
	return 0;
}

void seeds_on_hashes(
	struct seeds *seeds, struct bus_request *request, const struct wire_value *body)
{
	struct ramet_err err = {0};
	struct seed *seed = NULL;
	const struct wire_value *array = NULL;
	uint32_t count = 0;
	int rc = seed_find_for_peer(seeds, body, &seed, &err);
	if (rc == 0 && !seed_manifest_view(seed))
		rc = err_set(&err, RAMET_ENOTFOUND, "no manifest here");
	if (rc == 0)
		rc = wire_get_array(body, "entries", &array, &count, &err);
	if (rc == 0 && count > SEED_HASHES_MAX)
		rc = err_set(&err, RAMET_EPROTO, "%u hashes at once", count);
	if (rc == 0)
		rc = begin_job(seed->manifest, request, array, count, &err);
	if (rc < 0)
		bus_reply_err(request, &err);
}
