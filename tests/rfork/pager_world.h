/* What the tests of the pager share: a pager on its own thread, a complete image to fetch from (by
 * the `mem` transport, or by a source that a test controls), and real processes that map the
 * incomplete one and register userfaultfd. The test's thread is the control loop. */
#ifndef TESTS_RFORK_PAGER_WORLD_H
#define TESTS_RFORK_PAGER_WORLD_H

#include "rfork/pager.h"
#include "tests/lib/suite.h"
#include "tests/rfork/seed_fixture.h"

#include <stdatomic.h>
#include <sys/types.h>

#define WORLD_TIMEOUT_NS suite_patience(20000000000ull)
#define SCRIPT_LOG 4096

/* A source that does what it is told. Its fields may be changed by the test at any time. */
struct script_source {
	struct page_source base;
	struct loop *loop; /* the pager's */
	const struct image *origin;
	atomic_int fail; /* a RAMET_E… that every read ends with; 0: the bytes */
	atomic_int refuse; /* the same, from read() itself */
	atomic_uint wrong; /* a page, plus 1, whose bytes it gets wrong */
	atomic_uint reads, inflight, max_inflight;
	atomic_uint npages; /* entries of pages */
	uint32_t pages[SCRIPT_LOG]; /* asked for, in order */
	atomic_bool hold; /* reads wait for script_release() */
	atomic_bool destroyed;
	bool posted; /* the pager's thread */

	/* the pager's thread */
	struct list waiting;
	struct loop_task done_task, release_task;
};

struct world {
	struct loop *loop;
	struct loop_thread *thread;
	struct pager *pager;
	struct image *origin, *image;
	struct pager_seed *seed;

	/* the peer: lives on the control loop */
	struct transport *server;
	struct transport_domain *domain;
	struct transport_listener *listener;
	struct transport_segment *segment;
	struct transport_conn *server_conn;

	unsigned revoked, lost, starved; /* callbacks so far */
	char lost_name[64];
	struct ramet_err revoked_err, lost_err;
	unsigned fds;
};

/* world_init - with an empty image and a complete origin; false: printed why. options may be NULL
 * (transport mem; else the peer speaks options->provider too). world_fini checks that no descriptor
 * leaked. */
bool world_init(
	struct world *world, const struct fixture *fixture, const struct pager_options *options);
void world_fini(struct world *world);
/* world_init_of - the same, of an image that there is already; takes its own reference */
bool world_init_of(struct world *world, struct image *origin, const struct pager_options *options);
/* world_seed_handler - the seed of the worlds that are made next; NULL: the usual one, which knows
 * of no starving */
extern const struct pager_seed_handler *world_seed_handler;
/* the usual one, and it counts starving */
extern const struct pager_seed_handler world_starving;
bool world_can_fault(void); /* false: skipped, userfaultfd is refused here */
struct page_peer_spec world_peer_spec(struct world *world);
bool world_add_peer(struct world *world); /* the origin, by the transport */
bool world_add_script(struct world *world, struct script_source *script);
void script_release(struct world *world, struct script_source *script);
/* runs the control loop until *counter is at least want */
bool world_until(struct world *world, const unsigned *counter, unsigned want);
bool world_until_atomic(struct world *world, const atomic_uint *counter, unsigned want);
bool world_until_faults(const struct world *world, uint64_t want); /* that the pager was told of */
struct pager_stats world_stats(const struct world *world);

/* A process. */
struct kid {
	pid_t pid;
	int pidfd, go_fd, uffd; /* uffd: the duplicate that keeps it from reading zeros */
	struct pager_child *child;
	unsigned failed, ended;
	struct ramet_err err;
	uint64_t failed_instance;
};
/* kid_start - forks a process that maps the image as the descriptor says and then runs body, whose
 * result is its exit status. body may not allocate. */
bool kid_start(struct world *world, struct kid *kid, int (*body)(void *arg), void *arg);
/* kid_wait - its exit status, or minus the signal that ended it; -1000: did not end */
int kid_wait(struct world *world, struct kid *kid);
void kid_kill(struct world *world, struct kid *kid);
void kid_remove(struct kid *kid); /* after wait or kill */
/* kid_run - start, wait, remove */
int kid_run(struct world *world, int (*body)(void *arg), void *arg);

/* for bodies: */
static inline unsigned char *kid_page(uint64_t page) /* of fixture_simple() */
{
	return (unsigned char *)(uintptr_t)(FIXTURE_BASE + page * RFORK_PAGE);
}
#define KID_EXPECT(cond) \
	do { \
		if (!(cond)) \
			return __LINE__ % 199 + 1; \
	} while (0)

/* bodies for a seed of KID_PAGES pages: that they hold what they should */
#define KID_PAGES 64
#define KID_SCATTERED ((void *)2) /* no two neighbours one after the other */
int kid_read_all(void *arg); /* in order */
int kid_read_shuffled(void *arg); /* in an order that the number chooses; writes to each */
int kid_read_one(void *arg); /* its number */

/* A counter for done callbacks. */
struct done {
	unsigned count;
	struct ramet_err err;
};
void done_fn(void *user, const struct ramet_err *err);

#endif
