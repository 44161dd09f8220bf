/* The inside of a pager, shared by pager*.c. Unless a comment says "control", a field belongs to
 * the pager's loop thread; what both sides touch is handed over by posted tasks, or atomic.
 *
 * Everything that the control side was given a handle for is freed on the control loop, by a task
 * posted after all other tasks of the object; so a callback on its way never finds it gone. */
#ifndef RFORK_PAGER_INTERNAL_H
#define RFORK_PAGER_INTERNAL_H

#include "base/list.h"
#include "rfork/pager.h"
#include "rfork/pager_ranges.h"

#include <stdatomic.h>

#define PAGER_BUCKETS 256
#define PAGER_FAULT_PAGES 16
#define PAGER_STREAM_AFTER 3 /* faults in a row that make a stream */

enum pager_stat {
	STAT_EVENTS,
	STAT_FAULTS,
	STAT_ZEROS,
	STAT_FETCHED,
	STAT_AHEAD,
	STAT_FAILED_READS,
	STAT_FORKS,
	STAT_COUNT
};

/* written by the pager's thread, read by any */
struct pager_counters {
	atomic_uint_fast64_t values[STAT_COUNT];
};

static inline void pager_count(struct pager_counters *counters, enum pager_stat stat, uint64_t n)
{
	atomic_uint_fast64_t *value = &counters->values[stat];
	atomic_store_explicit(
		value, atomic_load_explicit(value, memory_order_relaxed) + n, memory_order_relaxed);
}

/* A part of the staging memory, and the read that uses it. */
struct pager_slot {
	struct page_read read;
	struct list link; /* in a free list, or pager_seed.starved */
	struct pager_seed *seed;
	struct pager_bulk *bulk; /* NULL: for a fault */
	struct pager_source *source;
	struct page_read sums; /* comes first, where checksums are missing */
	uint32_t tried; /* bits by index of sources: they have failed to do the read */
	int failed; /* how the last of them did */
	char failed_by[TRANSPORT_ADDR_MAX];
	struct loop_task store_task;
	int store_status; /* what storing it came to: 0, ECHECKSUM, EIO */
	unsigned stored; /* pages that were new */
	uint32_t bad_page; /* the first that differs from its checksum */
	uint64_t owned; /* bits by index in read.pages: those whose `outstanding` it has set */
};

struct pager {
	struct loop *loop, *control;
	struct page_peers *peers; /* NULL: without transport */
	unsigned char *staging;
	size_t staging_len;
	struct pager_slot *slots;
	struct list fault_free, bulk_free;
	unsigned nslots, nfault; /* those for faults come first */
	unsigned bulk_busy, bulk_touched; /* touched: up to here bulk slots may have memory */
	struct loop_timer give_back;
	unsigned drain_left; /* bulk slots that drains may still take */
	unsigned faults_inflight;
	struct loop_thread *storer; /* NULL: there is no other CPU for it */
	struct list seeds;
	struct list pending; /* struct pager_waiter.pending: pages nobody fetches yet */
	struct list waiter_pool;
	struct list bulks; /* in the order they were asked for */
	bool pending_running, bulks_running, bulks_again;
	struct loop_timer sweep;
	bool unchecked;
	bool closing;
	bool gone; /* control: destroyed, no callback any more */
	struct loop_task last_task, free_task;
};

/* A fault that waits for a page. */
struct pager_waiter {
	struct list link; /* in a bucket of the seed, or in the pool */
	struct list pending;
	struct pager_uffd *uffd;
	uint64_t addr;
	uint32_t page;
	bool write;
};

struct pager_source {
	struct list link;
	struct pager_seed *seed;
	struct page_peer_spec spec; /* if source is NULL when it is added */
	struct page_source *source;
	struct loop_task add_task, lost_task, free_task;
	unsigned rank, index;
	unsigned reads; /* in flight: it cannot be destroyed */
	bool lost, packless;
	bool proven; /* it has served */
	struct ramet_err err; /* why it was lost */
	char name[TRANSPORT_ADDR_MAX];
};

struct pager_seed {
	struct list link;
	struct pager *pager;
	struct image *image;
	struct list sources, children;
	struct list starved; /* struct pager_slot.link: no source is left for them */
	bool starving; /* control was told, or is being told */
	atomic_bool starved_queued; /* starved_task is on its way */
	uint32_t indexes; /* bits: in use by sources */
	uint64_t *outstanding; /* bitmap: a read is under way that will store the page */
	uint64_t *wanted; /* bitmap of the working set, or NULL */
	struct list buckets[PAGER_BUCKETS];
	unsigned waiters, reads;
	uint32_t *log; /* pages in the order of their fetch */
	uint64_t nlog, log_cap;
	bool log_gap;
	bool removed, revoked;
	struct ramet_err revoked_err;
	struct pager_counters counters;
	struct loop_task add_task, remove_task, revoke_task, revoked_task, starved_task, free_task;

	/* control */
	const struct pager_seed_handler *handler;
	void *user;
	unsigned nsources;
	bool revoke_asked, gone;
};

/* One process of a child. */
struct pager_uffd {
	struct list link;
	struct loop_watch watch;
	struct pager_child *child;
	struct pager_ranges ranges;
	int fd;
	unsigned waiters;
	uint64_t woken; /* wake-ups so far */
};

struct pager_child {
	struct list link;
	struct pager_seed *seed;
	struct list uffds;
	int first_fd; /* until it is added */
	uint64_t stream_next; /* the page that would go on with what it reads in a row */
	unsigned stream; /* faults in that row */
	bool failed, ended;
	struct ramet_err err;
	struct pager_counters counters;
	struct loop_task add_task, remove_task, failed_task, ended_task, free_task;

	/* control */
	uint64_t instance;
	const struct pager_child_handler *handler;
	void *user;
	bool gone;
};

/* A prefetch or a drain. */
struct pager_bulk {
	struct list link;
	struct pager_seed *seed;
	uint32_t *pages; /* NULL: the whole image */
	uint64_t npages;
	uint64_t low; /* everything before it is in the image */
	uint64_t high; /* everything before it was asked for */
	bool packed, background;
	bool failed;
	unsigned inflight;
	struct ramet_err err;
	struct loop_task start_task, done_task;

	/* control */
	void (*done)(void *user, const struct ramet_err *err);
	void *user;
};

/* pager.c */
void pager_post_control(
	struct pager *pager, struct loop_task *task, void (*fn)(struct loop_task *));
void pager_post(struct pager *pager, struct loop_task *task, void (*fn)(struct loop_task *));

/* pager_seed.c */
static inline bool pager_outstanding(const struct pager_seed *seed, uint64_t page)
{
	return seed->outstanding[page / 64] >> (page % 64) & 1;
}
/* nothing is fetched any more; everybody who waits fails */
void pager_seed_set_revoked(struct pager_seed *seed, const struct ramet_err *err);
void pager_seed_close(struct pager_seed *seed); /* ends what it has, but for the reads in flight */
void pager_seed_release(struct pager_seed *seed); /* after close, when no read is left */
void pager_seed_free(struct pager_seed *seed); /* control */

/* pager_source.c */
struct pager_source *pager_source_next(const struct pager_slot *slot); /* NULL: all have failed */
/* pager_source_done - a read of it is over; it may go if it is lost */
void pager_source_done(struct pager_source *source);
void pager_source_set_lost(struct pager_source *source, const struct ramet_err *err);
void pager_sources_close(struct pager_seed *seed); /* no read is left */
void pager_sources_free(struct pager_seed *seed); /* control */

/* pager_child.c */
void pager_child_fail(struct pager_child *child, const struct ramet_err *err);
void pager_child_close(struct pager_child *child);
/* pager_uffd_add - takes fd in any case: it must not be closed while the process lives, so it stays
 * with the child even if it cannot be watched. parent: the process that forked, or NULL. */
void pager_uffd_add(struct pager_child *child, int fd, const struct pager_uffd *parent);

/* pager_uffd.c */
void pager_uffd_on_ready(struct loop_watch *watch, uint32_t events);
/* pager_wake - lets a process that faulted go on; map: the pages are in the image and will only be
 * read */
void pager_wake(struct pager_uffd *uffd, uint64_t start, uint64_t end, bool map);

/* pager_waiters.c */
struct pager_waiter *pager_waiters_add(
	struct pager_seed *seed, uint32_t page, struct pager_uffd *uffd, uint64_t addr, bool write);
void pager_waiters_wake(struct pager_seed *seed, const uint32_t *pages, unsigned count);
void pager_waiters_queue(struct pager_seed *seed, uint32_t page); /* to have the page fetched */
void pager_waiters_fail_page(struct pager_seed *seed, uint32_t page, const struct ramet_err *err);
void pager_waiters_fail(struct pager_seed *seed, const struct ramet_err *err);
void pager_waiters_drop(struct pager_seed *seed, const struct pager_uffd *uffd);

/* pager_fetch.c */
/* pager_fetch_fault - a process waits for a page that the image lacks */
void pager_fetch_fault(
	struct pager_seed *seed, uint32_t page, struct pager_uffd *uffd, uint64_t addr, bool write);
void pager_fetch_poll(struct pager *pager); /* what was begun leaves now, and may be done */
/* pager_fetch_slot - begins the read that is described in slot; the outcome goes on from there */
void pager_fetch_slot(struct pager_slot *slot);
void pager_slot_own(struct pager_slot *slot, uint32_t page); /* adds a page to the slot's read */
void pager_slot_init(struct pager_slot *slot);
/* pager_slots_starved - the slots that no source is left for: are asked for once more, or fail
 * (give_up); if the seed is removed or revoked, they end */
void pager_slots_starved(struct pager_seed *seed, bool give_up);

/* pager_slot_stored - the end of pager_store() */
void pager_slot_stored(struct pager_slot *slot);

/* pager_store.c */
/* pager_store - what a slot has read: pager_slot_stored() is called when it is in the image, from
 * within or later */
void pager_store(struct pager_slot *slot);
int pager_store_open(struct pager *pager, struct ramet_err *err);
/* pager_store_close - waits for what is being stored; its tasks come yet, and do nothing when the
 * pager is closing */
void pager_store_close(struct pager *pager);

/* pager_verify.c */
/* pager_verify_sums - describes in slot->sums the read of checksums that must come first; false:
 * they are all here */
bool pager_verify_sums(struct pager_slot *slot);
/* what came is stored, or is what the image must hold; else RAMET_ECHECKSUM and which page it was
 */
int pager_verify_take_sums(struct pager_slot *slot, uint32_t *ret_page);
int pager_verify_pages(const struct pager_slot *slot, uint32_t *ret_page);

/* pager_bulk.c */
void pager_bulks_run(struct pager *pager); /* goes on with what there is room for */
void pager_bulks_fail(struct pager_seed *seed, const struct ramet_err *err);
/* the pack cannot be used: fetch from the image */
void pager_bulk_unpack(struct pager_bulk *bulk);
void pager_bulk_slot_free(struct pager *pager, struct pager_slot *slot); /* its read is over */
void pager_bulks_finish(struct pager *pager); /* the pager ends: no read is in flight any more */

#endif
