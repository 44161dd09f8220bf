/* The seeds this node holds: those it made by a cold start and a capture, and copies of peers' that
 * its pager fills. seeds_obtain() is the one way to a seed: held here, else fetched from a peer
 * that announced one, else made cold. Everybody who wants the same seed while it is on its way
 * waits for the same operation. Control loop; captures and hashes run on a worker thread that posts
 * back. */
#ifndef CLUSTER_SEEDS_H
#define CLUSTER_SEEDS_H

#include "base/cleanup.h"
#include "base/err.h"
#include "cluster/app_version.h"
#include "cluster/calls_result.h"
#include "cluster/instances.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct bus_request;
struct node;
struct seeds;

int seeds_create(struct node *node, struct seeds **ret_seeds, struct ramet_err *err);
void seeds_destroy(struct seeds *seeds); /* after calls; NULL is fine */
DEFINE_CLEANUP(struct seeds, seeds_destroy)

/* What a deployment is told. */
struct seed_made {
	struct call_error error; /* err.code 0: it succeeded */
	/* START_COLD, START_LOCAL_FORK when it began as a clone of a base, or START_WARM when this
	 * node had that very version */
	enum start_kind start;
	uint64_t instance;
	pid_t pid; /* of the host */
	uint64_t ready_ns, load_ns, capture_ns, stall_ns, total_ns;
	uint64_t image_bytes;
};
struct seed_making;
/* seeds_make - initialise an app version on this node: bundle, host, load, samples, capture. What
 * fails leaves nothing. progress (may be NULL): stage is start, load, capture; text for people.
 * done comes once, never from within; *ret_making is good for seeds_make_cancel() until then. app
 * is referenced as long as needed. */
int seeds_make(struct seeds *seeds, struct app_version *app,
	void (*progress)(void *user, const char *stage, const char *text),
	void (*done)(void *user, const struct seed_made *made), void *user,
	struct seed_making **ret_making, struct ramet_err *err);
/* before the capture only (else RAMET_EAGAIN): kills the host; done comes with RAMET_ECANCELED */
int seeds_make_cancel(struct seed_making *making);

/* What an instance can be made of. */
struct seed_grant {
	enum start_kind kind;
	struct instance_clone
		clone; /* local-fork, remote-fork: start it now, from within the callback */
	/* what its calls write: for clones that have time to populate it before they are called */
	const uint64_t *writes; /* as clone.populate */
	uint32_t nwrites;
	struct instance *host; /* cold: initialised for this wish; the callback takes it over */
};
/* grant NULL: error says why there is none. Valid during the call. */
typedef void seed_grant_fn(
	void *user, const struct seed_grant *grant, const struct call_error *error);
struct seed_want;
/* seeds_want - an instance of a function, by whatever is cheapest: fn is called later, once, unless
 * cancelled before. unheard: it ends with its call, of which nobody hears, so it is not the one
 * whose touched pages are recorded. */
int seeds_want(struct seeds *seeds, struct app_version *app, const char *function, bool unheard,
	seed_grant_fn *fn, void *user, struct seed_want **ret_want, struct ramet_err *err);
void seeds_want_cancel(struct seed_want *want); /* NULL is fine */
/* seeds_first_call_done - a clone has finished its first call and is idle: what it touched may be
 * recorded */
void seeds_first_call_done(struct seeds *seeds, struct instance *inst, bool ok);
/* seeds_unrecorded - the next clone of this function that is not unheard will be recorded */
bool seeds_unrecorded(const struct seeds *seeds, const char *version, const char *function);

bool seeds_have(const struct seeds *seeds, uint32_t tenant,
	const char *version); /* held here and usable now */
/* seeds_drop - a version is no longer deployed. now: it was removed: segments, image and templates
 * go (instances live on). Else a newer one has replaced it: it is not offered any more, and goes
 * when calls accepted before are over, here and on nodes that read from here (30 s). */
void seeds_drop(struct seeds *seeds, uint32_t tenant, const char *version, bool now);
/* seeds_uses - a seed of that version is here, or on its way: its files are needed */
bool seeds_uses(const struct seeds *seeds, const char *version);
/* seeds_publish - tell members what is held here (struct holding); called by calls at the end of a
 * turn */
void seeds_publish(struct seeds *seeds);
/* the local path of a file that a seed of that tenant, held here, names: for file_transfer. 0, or
 * RAMET_ENOTFOUND */
int seeds_find_file(
	const struct seeds *seeds, uint32_t uid, const uint8_t sha256[32], char *path, size_t cap);

/* clang-format off */
/* Between daemons; KEY: version, uid: uint, seed: bin 16, epoch: uint, secret: bin 32. Errors: EREVOKED (of an epoch
 * that is over, or another seed is here by now), EPERM (the secret), ENOTFOUND. verbs: the asker can read by RDMA;
 * transport: "tcp" or "verbs", which addr, image and pack are for.
 *   seed.get    {KEY, verbs?: bool}
 *               → {descriptor: bin, image: {id, key}, transport: str, addr: str, token: bin, mono: uint, boot: uint (the seed's clocks
 *                  now), boot_id: str (of the kernel they are of), copy: bool, set?: bin (working_set_encode),
 *                  pack?: {id, key, pages} (its pages, in order)}
 *   seed.source {KEY, verbs?} → {image, transport, addr, token, copy}: how to read pages of a seed that the asker knows
 *   seed.pages  {KEY, pages: bin (uint32, little-endian, ≤ 64; see image_bytes())} → {data: bin}, or EAGAIN: too much
 *               is asked for
 *   seed.set    {KEY, set: bin}               notice: the working set as a cold peer saw it; used if there is none yet
 *   seed.manifest {KEY}                       → {manifest: bin (runtime/files/manifest.h)}, once it was collected
 *   seed.hashes {KEY, entries: [uint]}        → {hashes: bin}: for each entry of the manifest 1 and its SHA-256, or 0 and
 *                                             anything where it cannot be had
 *   seed.files  {files: [str]}                notice: paths that a seed made here maps, to be hashed before they are needed */
/* clang-format on */
void seeds_on_get(struct seeds *seeds, struct bus_request *request, const struct wire_value *body);
void seeds_on_source(
	struct seeds *seeds, struct bus_request *request, const struct wire_value *body);
void seeds_on_pages(
	struct seeds *seeds, struct bus_request *request, const struct wire_value *body);
void seeds_on_files(
	struct seeds *seeds, struct bus_request *request, const struct wire_value *body);
void seeds_on_manifest(
	struct seeds *seeds, struct bus_request *request, const struct wire_value *body);
void seeds_on_hashes(
	struct seeds *seeds, struct bus_request *request, const struct wire_value *body);
void seeds_on_set(struct seeds *seeds, struct bus_request *request, const struct wire_value *body);
/* seeds_on_holdings - a peer told what it holds: copies here may get another source */
void seeds_on_holdings(struct seeds *seeds);
/* an event of ramet-spawn */
void seeds_on_template_gone(struct seeds *seeds, uint64_t tmpl, const struct ramet_err *why);

struct seed_info {
	char seed[40]; /* id, hexadecimal */
	char app[CALL_NAME_MAX];
	char version[CALL_NAME_MAX];
	uint32_t tenant;
	uint64_t epoch;
	bool copy; /* of source_node's */
	uint32_t source_node;
	uint64_t image_bytes, cached_bytes, working_set_bytes;
	uint64_t own_bytes; /* of memory that is its image's alone, beyond those of its base */
	unsigned templates;
	char class_text[160];
};
void seeds_each(const struct seeds *seeds, void (*fn)(void *user, const struct seed_info *info),
	void *user);
unsigned seeds_count(const struct seeds *seeds);
unsigned seeds_templates(const struct seeds *seeds);
uint64_t seeds_cache_bytes(const struct seeds *seeds);

#endif
