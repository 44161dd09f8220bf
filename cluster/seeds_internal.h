/* Records of seeds, templates and the operations that make them; for the seeds*.c files only.
 *
 * A seed is MAKING (a cold start, seeds_cold.c) or FETCHING (from a peer, seeds_fetch.c), then
 * READY; an operation that fails tells those who wait, and the record goes. A dropped seed lingers,
 * out of the table, until its last child has ended, since the pager serves children through it. */
#ifndef CLUSTER_SEEDS_INTERNAL_H
#define CLUSTER_SEEDS_INTERNAL_H

#include "base/list.h"
#include "base/loop.h"
#include "cluster/seed_key.h"
#include "cluster/seeds.h"
#include "cluster/workers.h"
#include "rfork/image.h"
#include "rfork/pager.h"
#include "rfork/template.h"
#include "rfork/working_set.h"
#include "runtime/spawn/spawn_client.h"

#define SEEDS_BOOT_ID_MAX 37
#define SEEDS_PEER_MS 5000 /* for an answer of a peer */
#define SEEDS_LOAD_MS 120000 /* until `loaded`: imports of real applications take their time */
#define SEEDS_CAPTURE_MS 30000
#define SEEDS_FETCH_ALL_MS 120000
#define SEED_RANK_ORIGIN 0 /* the order of sources of pages */
#define SEED_RANK_COPY 1
#define SEED_RANK_BUS 2
#define SEEDS_TRIALS 4 /* clones with, and without, populating, before one is chosen */

struct cold;
struct fetch;
struct segment;
struct files_check;
struct bus_request;
struct manifest;
struct seed_base;
struct seed_manifest;
struct seed_view;

/* whether the files of the seed's manifest are those of this node */
enum seed_software { SOFTWARE_UNKNOWN, SOFTWARE_HERE, SOFTWARE_LACKING };

enum seed_state { SEED_MAKING, SEED_FETCHING, SEED_READY, SEED_DROPPED };

/* pages that were recorded once, in order, in a segment of their own */
struct seed_pack {
	struct list link;
	struct seed *seed; /* NULL: it was dropped */
	struct segment *segment;
	bool told; /* to a peer, which may read it at any time */
	int fd; /* memfd, as those of images */
	void *memory;
	size_t len;
	uint64_t pages;
};

struct seed {
	struct list link;
	struct seeds *seeds;
	struct app_version *app;
	enum seed_state state;
	enum seed_software software;
	uint64_t software_key; /* of where its files lie at its own node; 0: not told */
	struct list wants; /* wait for the seed */
	struct list makers; /* deployments that wait for it */
	struct cold *cold;
	struct fetch *fetch;
	uint32_t tried[8]; /* sources that failed */
	unsigned ntried;

	struct image *image;
	struct seed_base *base; /* that its image is layered on, if it was made here; or NULL */
	bool origin;
	uint32_t source_node;
	struct seed_key key;
	/* its clocks minus ours, and the kernel they are of */
	int64_t mono_offset_ns, boot_offset_ns;
	char boot_id[SEEDS_BOOT_ID_MAX];
	struct seed_made made; /* how it was made, for those who ask later */

	struct segment *segment;
	struct list suppliers, asks; /* seeds_sources.c */
	uint64_t looks_ns;
	unsigned found, looks;
	bool starved; /* the pager has asked for another source */
	struct list packs; /* the last is current; older ones that peers know of stay */
	struct working_set *set;
	struct working_set *touched; /* seeds_touched.c */
	bool touched_told; /* or about to be */
	struct pager_seed *pager;
	bool exposed; /* peers can read the segment */
	bool set_packed; /* the last pack holds just the pages of the working set */
	bool draining, source_lost;
	bool drained; /* a drain has begun, if not more */
	bool retired; /* a newer version has replaced it: it goes when nobody needs it */
	struct loop_timer retire_timer, drain_timer;

	struct seed_manifest *manifest; /* NULL: none */
	struct seed_view *view; /* the files that are lacking; NULL: none yet */

	struct list templates, children;
	struct list recorded; /* functions whose working set is being recorded, or in `set` */
};

struct recorded_function {
	struct list link;
	char function[CALL_NAME_MAX];
};

enum template_state { TEMPLATE_CHECKING, TEMPLATE_BUILDING, TEMPLATE_READY };

/* how clones with (1) and without (0) populating did at their first call */
struct populate_trial {
	unsigned begun[2], done[2];
	uint64_t total_ns[2];
};

struct seed_template {
	struct instance_parent parent; /* first */
	struct list link; /* seed->templates */
	struct seed *seed;
	char function[CALL_NAME_MAX];
	uint64_t id;
	enum template_state state;
	bool uffd, record;
	bool dropped; /* out of the list; freed with its last child */
	unsigned children;
	struct files_check *check;
	char **files; /* local paths of its files; of one allocation; NULL: not checked yet */
	uint32_t nfiles;
	bool fetched; /* some were not here */
	bool waits; /* for the view, or until it is known whether one is needed */
	uint64_t view; /* 0: none */
	uint64_t request; /* to ramet-spawn */
	struct loop_timer timer;
	bool ranged; /* ranges were taken from the seed's set */
	uint64_t ranges[TEMPLATE_MAX_POPULATE][2]; /* to populate */
	uint32_t nranges;
	struct populate_trial trial;
};

/* a clone that lives */
struct seed_child {
	struct list link; /* seed->children */
	struct seed_template *tmpl;
	struct instance *inst;
	struct pager_child *pager;
};

struct seed_want {
	struct list link; /* seed->wants, or seeds->granted */
	struct seeds *seeds;
	struct seed *seed;
	char function[CALL_NAME_MAX];
	struct seed_template *tmpl; /* it waits for this one */
	bool remote; /* it waited for the seed to come from a peer */
	bool unheard; /* seeds_want() */
	seed_grant_fn *fn;
	void *user;
	struct call_error error;
};

struct seed_making {
	struct list link; /* seed->makers */
	struct seed *seed; /* NULL: it is over */
	struct seeds *seeds;
	uint64_t begun_ns;
	enum start_kind start;
	void (*progress)(void *user, const char *stage, const char *text);
	void (*done)(void *user, const struct seed_made *made);
	void *user;
	struct call_error error;
};

/* how often a version was revoked, as far as it is known here */
struct seed_epoch {
	struct list link; /* the one used last is the first */
	char version[VERSION_HEX + 1];
	uint64_t epoch;
};

/* what a peer may still ask for by seed.pages */
struct seed_allowance {
	struct list link;
	uint32_t node;
	uint64_t pages, at_ns;
};

/* keys of software that was found to be the same here; the oldest are overwritten */
#define SEEDS_SAME_MAX 256u
struct seeds_same {
	uint64_t keys[SEEDS_SAME_MAX];
	unsigned next;
};

struct seeds {
	struct node *node;
	struct list epochs, allowances;
	struct list bases; /* seeds_base.c */
	struct list image_clones; /* image_clone.c */
	unsigned nepochs;
	struct list list;
	struct list dropped;
	struct list waiting; /* wants that wait for a template */
	struct list granted; /* wants to be told, from the timer */
	struct list made; /* makings to be told, from the timer */
	struct loop_timer timer;
	struct loop_thread *pager_thread;
	struct pager *pager;
	bool eager, timens, record;
	bool foresees; /* a worker hashes files that a peer named */
	uint64_t next_template, next_view;
	struct seeds_same same;
	char boot_id[SEEDS_BOOT_ID_MAX];
};

/* seeds.c */
struct seed *seeds_find(const struct seeds *seeds, const char *version);
void seed_begin(struct seed *seed); /* fetch it, or make it */
void seed_ready(struct seed *seed,
	struct instance *host); /* image is set; host: initialised for it, or NULL */
void seed_makers_done(struct seed *seed); /* tells deployments that it is ready */
void seed_failed(
	struct seed *seed, const struct call_error *error); /* tells all who wait, frees it */
/* the nodes to ask for files of it, the one it came from first; returns how many */
unsigned seed_sources(const struct seed *seed, uint32_t *nodes, unsigned max);
void seed_release(struct seed *seed); /* frees it if it was dropped and has no children */
bool seed_is_wanted(const struct seed *seed); /* seeds_drop.c: somebody waits for an instance */
/* seeds_quota.c: whether its tenant may have this image here, too; what it does not need goes for
 * it. RAMET_ELIMIT */
int seed_admit(const struct seed *seed, const struct image *image, struct ramet_err *err);
/* and so many bytes of a pack of its pages */
bool seed_pack_fits(const struct seed *seed, uint64_t bytes);
/* seeds_foresee.c: the peers hash its files before they need them */
void seed_foretell(const struct seed *seed);
/* seeds_epoch.c */
/* of the next seed of a version that is made here; older ones that are not here were revoked */
uint64_t seeds_epoch(struct seeds *seeds, const char *version);
/* a version is at that epoch at least */
void seeds_epoch_raise(struct seeds *seeds, const char *version, uint64_t epoch);
/* seeds_sources.c: where the pages of a copy come from */
extern const struct pager_seed_handler seed_sources_handler; /* user: the seed */
int seed_sources_add(
	struct seed *seed, uint32_t node, const struct page_peer_spec *spec, struct ramet_err *err);
void seed_sources_fini(struct seed *seed);
/* seeds_answer.c: `seed.get`, `seed.source`, `seed.pages`, `seed.set` */
void seed_key_request(const struct seed *seed, unsigned pairs, struct buf *b);
/* of how to read pages of it from that node */
void seed_source_request(const struct seed *seed, uint32_t node, struct buf *b);
int seed_answer_parse(
	const struct wire_value *body, struct page_peer_spec *ret_spec, struct ramet_err *err);
/* seeds_manifest.c: the files that its app may need later */
int seed_take_roots(struct seed *seed, const struct wire_value *body, struct ramet_err *err);
void seed_manifest_collect(struct seed *seed); /* its image is there: what it maps, too */
void seed_manifest_destroy(struct seed_manifest *manifest); /* NULL is fine */
const struct manifest *seed_manifest_view(const struct seed *seed); /* NULL: not there yet */
/* the path here of a file of that hash that its manifest names, if it is known to be one */
bool seed_manifest_names(const struct seed *seed, const uint8_t sha256[32], char *path, size_t cap);
/* seeds_software.c: whether they are here */
void seed_manifest_fetch(struct seed *seed); /* seed_software_known() later */
/* while it is unknown: whether all is here, most likely. A seed of the same node with files at the
 * same places was compared before, and lacked none; or it takes too long to find out. */
bool seed_software_supposed(const struct seed *seed);
/* seeds_view.c: on nodes that lack some of them */
/* lacking: with the files of its manifest that are missing here; else with the app's data only.
 * templates_go(), or cold_viewed(), later. */
int seed_view_begin(struct seed *seed, bool lacking, struct ramet_err *err);
uint64_t seed_view_ready(const struct seed *seed); /* its number, or 0: not yet */
void seed_view_destroy(struct seed_view *view); /* NULL is fine */
/* seeds_answer.c: the seed that a peer means, and has the key of */
int seed_find_for_peer(struct seeds *seeds, const struct wire_value *body, struct seed **ret,
	struct ramet_err *err);
/* seeds_wait.c */
void want_fail(struct seed_want *want, const struct call_error *error);
void want_grant_later(struct seed_want *want);
void making_progress(struct seed *seed, const char *stage, const char *text);
/* it is over: error NULL when the seed is ready */
void making_over(struct seed_making *making, const struct call_error *error);
/* seeds_drop.c */
void seed_drop(struct seed *seed); /* at once; those who want it fail with EREVOKED */
/* seed_revoke - nobody gets another page of it: children that need one end. Then it is dropped. */
void seed_revoke(struct seed *seed);
void seed_retire(struct seed *seed);
/* seeds_expose.c */
void seed_expose(struct seed *seed);
void seed_unexpose(struct seed *seed);
int seed_take_set(struct seed *seed, struct working_set *set,
	struct ramet_err *err); /* takes set, also on failure */
/* seeds_cold.c */
int cold_begin(struct seed *seed, struct ramet_err *err);
void cold_viewed(
	struct cold *cold, const struct ramet_err *error); /* its view is ready, or cannot be */
void cold_abandon(struct cold *cold); /* no result; NULL is fine */
bool cold_can_cancel(const struct cold *cold); /* before the capture only */
/* seeds_fetch.c */
int fetch_begin(struct seed *seed, uint32_t node, struct ramet_err *err);
void fetch_abandon(struct fetch *fetch);
/* seeds_files.c: local paths of a seed's files, checked by content, fetched where missing */
/* fetched: some were not here under their own name */
typedef void files_done_fn(void *user, const char *const *paths, uint32_t count, bool fetched,
	const struct ramet_err *error);
int files_check_begin(struct seed *seed, files_done_fn *fn, void *user,
	struct files_check **ret_check, struct ramet_err *err);
/* files_check_here - the same for an image that was made here: what has changed is refused */
int files_check_here(struct seeds *seeds, const struct image *image, files_done_fn *fn, void *user,
	struct files_check **ret_check, struct ramet_err *err);
void files_check_forget(struct files_check *check); /* NULL is fine */
/* seeds_template.c */
void template_want(struct seed_want *want);
void template_grant(struct seed_want *want, struct seed_grant *ret_grant);
void template_drop(struct seed_template *tmpl);
void template_free(struct seed_template *tmpl); /* dropped, and without children */
void templates_go(struct seed *seed); /* what some of them wait for may have come */
void seed_software_known(struct seed *seed);
void seed_view_lost(struct seed *seed, const struct ramet_err *why);
void templates_refresh(
	struct seed *seed); /* the image is complete: userfaultfd is needed no more */
/* seeds_child.c */
extern const struct instance_parent seed_parent;
bool seed_is_recorded(const struct seed *seed, const char *function);
int seed_mark_recorded(struct seed *seed, const char *function, struct ramet_err *err);
void seed_drain(struct seed *seed); /* fetch the rest of a copy in the background */
void seed_unmark_recorded(struct seed *seed, const char *function);
/* seeds_touched.c */
/* seed_touched_tell - the seed's node gets to know what the calls here have touched so far, that of
 * inst, which has just ended, among them; false: it need not, or cannot. Else seed_drain() comes
 * later. */
bool seed_touched_tell(struct seed *seed, const struct instance *inst);

#endif
