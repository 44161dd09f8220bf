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
	uint64_t fds; /* struct account_fd[nfds]: its open descriptors, and which of them clones
			 have */
	uint64_t ranges; /* struct account_range[nranges]: shared mappings that clones have */
	uint32_t nfds, nranges;
};

enum safepoint_side {
	SAFEPOINT_HOST = 0, /* the original process: a shadow was left behind */
	SAFEPOINT_CLONE =
		1, /* a clone of the captured process, possibly on another node and much later */
	SAFEPOINT_CLONE_FAILED = 2, /* a clone that could not be made whole: it must end */
};

/* What a deployment may want closed in clones, instead of a capture that is refused for it. */
enum safepoint_close {
	SAFEPOINT_CLOSE_SOCKETS = 1,
	SAFEPOINT_CLOSE_PIPES = 2,
	SAFEPOINT_CLOSE_FILES = 4,
	SAFEPOINT_CLOSE_DEVICES = 8,
	SAFEPOINT_CLOSE_OTHER = 16,
	SAFEPOINT_CLOSE_ALL = 31,
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

/* safepoint_begin - as the host starts: what it has by then is what its clones are given, too */
void safepoint_begin(void);
/* safepoint_close_on_fork - for captures from now on: enum safepoint_close */
void safepoint_close_on_fork(unsigned kinds);
/* safepoint_capture - call it with no locks held and all output flushed. control_fd: the host's
 * control socket. Returns SAFEPOINT_HOST with *ret_shadow filled, SAFEPOINT_CLONE in a clone
 * (only its threads and renumbered filled; *ret_first_ns = CLOCK_MONOTONIC of its first
 * instruction), SAFEPOINT_CLONE_FAILED there with err filled, or RAMET_EREFUSED (a thread that
 * cannot be stopped, a child process, a timer: named) / RAMET_ENOTSUP / RAMET_EIO / RAMET_ENOMEM.
 */
int safepoint_capture(int control_fd, struct safepoint_shadow *ret_shadow, uint64_t *ret_first_ns,
	struct ramet_err *err);
/* safepoint_release - in a clone that has other threads: they run from now on */
void safepoint_release(void);

#endif
