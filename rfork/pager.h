/* The pager: serves the page faults of instances whose seed is not all here yet. It fills the
 * node's image of a seed (rfork/image.h) from its sources and wakes who waits; siblings then take
 * ordinary faults of the kernel. It also fetches ahead of need (prefetch) and completes images in
 * the background (drain).
 *
 * Threads: a pager works on a loop of its own; the calls here are made on one other loop, `control`
 * (it may also be the same), they return at once, and every callback comes on control. Image and
 * counters may be looked at from anywhere.
 *
 * A userfaultfd must not be closed for good while its process lives: the kernel would serve zeros
 * for what is missing. Who adds a child keeps a duplicate, or kills the process before it removes
 * the child, the seed or the pager. */
#ifndef RFORK_PAGER_H
#define RFORK_PAGER_H

#include "base/cleanup.h"
#include "base/err.h"
#include "base/loop.h"
#include "rfork/image.h"
#include "rfork/page_source_peer.h"
#include "rfork/working_set.h"

#include <stdbool.h>
#include <stdint.h>

#define PAGER_SOURCES_MAX 32 /* of a seed */

struct pager;
struct pager_seed;
struct pager_child;

/* Zero means the default. */
struct pager_options {
	const char *provider; /* transport to peers; NULL: none, only pager_seed_add_source() */
	const char *also; /* a second one, for peers whose spec names it; or NULL */
	const struct transport_options *transport; /* of both */
	unsigned fault_slots; /* reads for faults in flight at a time, of 16 pages; default 32 */
	unsigned bulk_slots; /* the same for fetching ahead, of 64 pages; default 16 */
	unsigned drain_slots; /* how many of those a drain may use; default 2 */
	bool unchecked; /* pages are believed: their checksums are not compared */
};

/* pager_create - blocks until the pager's loop, which must be running in another thread, has opened
 * the transport. options may be NULL. */
int pager_create(struct loop *loop, struct loop *control, const struct pager_options *options,
	struct pager **ret_pager, struct ramet_err *err);
/* pager_destroy - ends all at once, seeds and children too; no callback comes any more. Blocks as
 * pager_create() does, so it is not called from the pager's own thread; comes before either loop
 * ends, and the pager's ends first. NULL is fine. */
void pager_destroy(struct pager *pager);
DEFINE_CLEANUP(struct pager, pager_destroy)
#define auto_pager AUTO(pager_destroy)

/* Seeds. All of these may be NULL. */
struct pager_seed_handler {
	/* A source said that the seed is revoked: nothing more is fetched, and every child that
	 * needs a page fails. Once. */
	void (*on_revoked)(void *user, const struct ramet_err *err);
	/* A source has ended (its peer died, its copy went, its bytes were wrong); the others are
	 * used. Once a source. */
	void (*on_source_lost)(void *user, const char *name, const struct ramet_err *err);
	/* Pages are needed that every source has failed to give. They wait until a source is added,
	 * or pager_seed_give_up() is called. If this is NULL, they fail at once. */
	void (*on_starved)(void *user);
};
/* pager_seed_add - takes its own reference to image; handler outlives the seed */
int pager_seed_add(struct pager *pager, struct image *image,
	const struct pager_seed_handler *handler, void *user, struct pager_seed **ret_seed,
	struct ramet_err *err);
/* pager_seed_remove - with its children; no callback of the seed, its children or its fetches comes
 * any more. The handle ends now, the reads in flight end later. */
void pager_seed_remove(struct pager_seed *seed);
/* pager_seed_revoke - as if a source had said so; on_revoked is called too */
void pager_seed_revoke(struct pager_seed *seed);
/* pager_seed_give_up - there is no other source: what waits since on_starved fails, with what its
 * last source said. Children that need such a page later make it starve again. */
void pager_seed_give_up(struct pager_seed *seed);
/* Sources are tried by rank, those of one rank in the order they were added; at any time. A page
 * fails when all have failed to give it. One that is lost is not used again, but may be added anew.
 * RAMET_ELIMIT: there are PAGER_SOURCES_MAX that are not lost. add_source takes the source when it
 * returns 0; it is used and destroyed on the pager's thread. */
int pager_seed_add_peer(
	struct pager_seed *seed, const struct page_peer_spec *spec, struct ramet_err *err);
int pager_seed_add_source(
	struct pager_seed *seed, struct page_source *source, struct ramet_err *err);

/* pager_spins - how often the pager began, and ended, to poll for answers to faults instead of
 * sleeping (over transports that gain by it), and how often it polled. From any thread. */
void pager_spins(const struct pager *pager, struct transport_spins *ret);

/* Children. All of these may be NULL. */
struct pager_child_handler {
	/* A fault cannot be served and the instance stands still: kill it. Once. */
	void (*on_failed)(void *user, uint64_t instance, const struct ramet_err *err);
	/* Its processes have all ended (told within a second or so: who knows earlier need not
	 * wait). Once. */
	void (*on_ended)(void *user, uint64_t instance);
};
/* pager_child_add - uffd: of the instance, registered MISSING with EVENT_FORK, REMAP, REMOVE and
 * UNMAP; taken when it returns 0. Processes that the instance forks are served along with it. */
int pager_child_add(struct pager_seed *seed, uint64_t instance, int uffd,
	const struct pager_child_handler *handler, void *user, struct pager_child **ret_child,
	struct ramet_err *err);
/* pager_child_remove - no callback comes any more; the handle ends now */
void pager_child_remove(struct pager_child *child);

/* Fetching ahead. done comes once, with err->code 0 when every page asked for is in the image.
 * Faults go first. */
/* pager_prefetch - the touched pages of a working set (copied); later faults within it bring their
 * neighbours along. packed: the packs of the sources hold just these pages in this order. */
int pager_prefetch(struct pager_seed *seed, const struct working_set *set, bool packed,
	void (*done)(void *user, const struct ramet_err *err), void *user, struct ramet_err *err);
/* pager_fetch_all - the whole image at full speed, where there is no userfaultfd */
int pager_fetch_all(struct pager_seed *seed, void (*done)(void *user, const struct ramet_err *err),
	void *user, struct ramet_err *err);
/* pager_drain - the whole image, in the background: it waits while faults are being served */
int pager_drain(struct pager_seed *seed, void (*done)(void *user, const struct ramet_err *err),
	void *user, struct ramet_err *err);

struct pager_stats {
	uint64_t events; /* messages of userfaultfds */
	uint64_t faults; /* those that were page faults */
	uint64_t zero_pages; /* faults on pages of zeros, which nobody fetches */
	uint64_t fetched_pages; /* by faults */
	uint64_t fetched_bytes;
	uint64_t ahead_pages; /* by prefetches and drains; 0 for a child */
	uint64_t failed_reads;
	uint64_t forks; /* processes that the instance made */
};
void pager_seed_stats(const struct pager_seed *seed, struct pager_stats *ret_stats);
void pager_child_stats(const struct pager_child *child, struct pager_stats *ret_stats);

/* pager_seed_log - the pages that faults have brought in, in order: what its children have touched,
 * but for what was fetched ahead. pages: valid during the call. err->code RAMET_ENOMEM: the log has
 * a gap. */
int pager_seed_log(struct pager_seed *seed,
	void (*done)(
		void *user, const uint32_t *pages, uint64_t count, const struct ramet_err *err),
	void *user, struct ramet_err *err);

#endif
