/* The host's half of a capture: bring its threads to rest and leave a frozen copy of the process,
 * the shadow, from which the daemon takes the seed. Runs inside user processes: plain C, no
 * allocation, no locks, no daemon code. Any thread may capture; in clones it is the process's
 * first, whose id is the process's. */
#ifndef RFORK_SAFEPOINT_H
#define RFORK_SAFEPOINT_H

#include "ramet/error.h"
#include "rfork/descriptor.h"
#include "rfork/safepoint_maps.h"

#define SAFEPOINT_MAGIC 0x31544e494f504652ull

/* Lives in the host; the shadow fills in its own copy, the daemon reads that. */
struct safepoint_state {
	uint64_t magic;
	uint32_t size;
	uint32_t complete;
	struct seed_process process;
	uint64_t brk;
	int32_t ready_fd; /* the shadow's end of the readiness pipe: not part of the seed */
	uint32_t reserved;
	uint64_t mapped_pages; /* of the host's address space; 0: not known */
	struct safepoint_missing missing;
};

enum safepoint_side {
	SAFEPOINT_HOST = 0, /* the original process: a shadow was left behind */
	SAFEPOINT_CLONE =
		1, /* a clone of the captured process, possibly on another node and much later */
	SAFEPOINT_CLONE_FAILED = 2, /* a clone that could not be made whole: it must end */
};

struct safepoint_shadow {
	int pidfd; /* of the shadow; hand both to the daemon, then close */
	int ready_fd; /* one byte when the shadow is ready to be read; end of file if it died */
	uint64_t state; /* address of its struct safepoint_state */
	uint64_t stall_ns; /* from entry to the moment the host runs on */

	/* in a clone */
	unsigned threads; /* made again: they wait for safepoint_release() */
	unsigned renumbered; /* those with another id than in the host */
};

/* safepoint_capture - call it with no locks held and all output flushed. control_fd: the host's
 * control socket. Returns SAFEPOINT_HOST with *ret_shadow filled, SAFEPOINT_CLONE in a clone
 * (only its threads and renumbered filled; *ret_first_ns = CLOCK_MONOTONIC of its first
 * instruction), SAFEPOINT_CLONE_FAILED there with err filled, or RAMET_EREFUSED (a thread that
 * cannot be stopped, named) / RAMET_ENOTSUP / RAMET_EIO. */
int safepoint_capture(int control_fd, struct safepoint_shadow *ret_shadow, uint64_t *ret_first_ns,
	struct ramet_err *err);
/* safepoint_release - in a clone that has other threads: they run from now on */
void safepoint_release(void);

#endif
