/* What tests of whole local forks share: a host that was started and reached its safepoint, its
 * seed, a template of it, and clones. */
#ifndef TESTS_RFORK_FORK_WORLD_H
#define TESTS_RFORK_FORK_WORLD_H

#include "rfork/capture.h"
#include "rfork/template.h"
#include "tests/rfork/memory_host.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct sock_filter;

struct fork_world {
	pid_t pid; /* the host */
	int control; /* our end of its control socket */
	struct capture_request request; /* its shadow */
	struct image *image;
	struct capture_stats stats;
	struct template *tmpl;
	int uffd;
};

/* fork_world_start - until the host has left a shadow. argv[0]: a program beside the tests.
 * RAMET_ENOTSUP: it said MEMORY_NOT_HERE. */
int fork_world_start(struct fork_world *w, const char *const *argv, struct ramet_err *err);
/* fork_world_adopt - a world whose host is a process that was started already, and is asked for
 * another shadow; control is taken. Captured, it is layered on base, whose clone it is if cloned */
int fork_world_adopt(struct fork_world *w, int control, const struct fork_world *base,
	struct layer *layer, bool cloned, struct ramet_err *err);
/* fork_world_capture - the shadow is gone afterwards */
int fork_world_capture(struct fork_world *w, struct ramet_err *err);
struct fork_setup {
	const struct image *image; /* NULL: the world's own */
	bool uffd, record;
	int64_t clocks_ahead_ns; /* of its clones, of ours */
	const struct sock_filter *filter; /* NULL: none */
	uint32_t filter_len;
	bool landlock;
};
int fork_world_build(struct fork_world *w, const struct fork_setup *setup, struct ramet_err *err);
void fork_world_unbuild(struct fork_world *w); /* ends the template */
/* fork_world_open - all three, of a complete image */
int fork_world_open(struct fork_world *w, const char *const *argv, struct ramet_err *err);
void fork_world_close(struct fork_world *w);

struct fork_clone {
	pid_t pid;
	int control, uffd; /* uffd -1: none */
	uint64_t begin_ns;
};
int fork_world_clone(struct fork_world *w, const uint64_t (*populate)[2], unsigned npopulate,
	struct fork_clone *ret, struct ramet_err *err);
/* fork_clone_end - its exit status after its control socket was closed; closes everything */
int fork_clone_end(struct fork_clone *clone);

/* page_of - what pagemap says of an address: nothing there, the image's page, or one of its own */
enum page_kind { PAGE_ABSENT, PAGE_SHARED, PAGE_OWN };
enum page_kind page_of(pid_t pid, uint64_t addr);

bool can_populate(void); /* MADV_POPULATE_WRITE, Linux 5.14 */

/* memory_ask - what a memory_host answers; recorded as a failure if it does not */
uint64_t memory_ask(int control, enum memory_op op, uint64_t page);

#endif
