/* The seeds this node holds: those it made by a cold start and a capture, and copies of peers' that
 * its pager fills. seeds_obtain() is the one way to a seed: held here, else fetched from a peer
 * that announced one, else made cold. Everybody who wants the same seed while it is on its way
 * waits for the same operation. Control loop; captures and hashes run on a worker thread that posts
 * back. */
#ifndef CLUSTER_SEEDS_H
#define CLUSTER_SEEDS_H

#include "base/cleanup.h"
#include "base/err.h"
#include "cluster/calls_result.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct app; /* cluster/registry.h: a version of an app, immutable, counted */
struct node;
struct seeds;

int seeds_create(struct node *node, struct seeds **ret_seeds, struct ramet_err *err);
void seeds_destroy(struct seeds *seeds); /* after calls; NULL is fine */
DEFINE_CLEANUP(struct seeds, seeds_destroy)

/* What a deployment is told. */
struct seed_made {
	struct call_error error; /* err.code 0: it succeeded */
	enum start_kind start; /* START_COLD, or START_WARM when this node had that very version */
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
int seeds_make(struct seeds *seeds, struct app *app,
	void (*progress)(void *user, const char *stage, const char *text),
	void (*done)(void *user, const struct seed_made *made), void *user,
	struct seed_making **ret_making, struct ramet_err *err);
/* before the capture only (else RAMET_EAGAIN): kills the host; done comes with RAMET_ECANCELED */
int seeds_make_cancel(struct seed_making *making);

bool seeds_have(const struct seeds *seeds, uint32_t tenant,
	const char *version); /* held here and usable now */
/* seeds_source - a peer that announced a seed of this version, for placement; 0: none */
uint32_t seeds_source(const struct seeds *seeds, uint32_t tenant, const char *version);
unsigned seeds_holders(const struct seeds *seeds, uint32_t tenant,
	const char *version); /* nodes that hold one, with us */
/* seeds_drop - revoke a version's seed here: segments, image, templates. Instances live on. */
void seeds_drop(struct seeds *seeds, uint32_t tenant, const char *version);
/* membership changed: tell a new member what is here; forget what a lost one had */
void seeds_node_up(struct seeds *seeds, uint32_t node);
void seeds_node_down(struct seeds *seeds, uint32_t node);

struct seed_info {
	char seed[40]; /* id, hexadecimal */
	char app[CALL_NAME_MAX];
	char version[CALL_NAME_MAX];
	uint32_t tenant;
	uint64_t epoch;
	bool copy; /* of source_node's */
	uint32_t source_node;
	uint64_t image_bytes, cached_bytes, working_set_bytes;
	unsigned templates;
	char class_text[160];
};
void seeds_each(const struct seeds *seeds, void (*fn)(void *user, const struct seed_info *info),
	void *user);
unsigned seeds_count(const struct seeds *seeds);
unsigned seeds_templates(const struct seeds *seeds);
uint64_t seeds_cache_bytes(const struct seeds *seeds);

#endif
