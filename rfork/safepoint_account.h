/* A host's account of what it has beyond memory: written before its shadow is made, into memory
 * that becomes part of the seed, and read again by each clone, which puts it all back. The daemon
 * reads the lists that safepoint_state points to, and refuses what they do not cover. Costs nothing
 * in memory for a host that has nothing. */
#ifndef RFORK_SAFEPOINT_ACCOUNT_H
#define RFORK_SAFEPOINT_ACCOUNT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ACCOUNT_WHY_MAX 96
#define ACCOUNT_MAX_FDS 65536u
#define ACCOUNT_MAX_RANGES 65536u

/* What becomes of an open descriptor in clones. */
enum account_kind {
	ACCOUNT_REFUSED, /* nothing that a clone could have; `why`, or empty: the daemon finds words
			  */
	ACCOUNT_CLOSED, /* the deployment wants it closed */
	ACCOUNT_FILE, /* a regular file open for reading: opened again */
	ACCOUNT_NODE, /* /dev/null and the like: opened again */
	ACCOUNT_STDIO, /* another descriptor of stdout or stderr */
	ACCOUNT_PIPE,
	ACCOUNT_SOCKET,
	ACCOUNT_EVENTFD,
	ACCOUNT_EPOLL,
	ACCOUNT_TIMERFD,
	ACCOUNT_SIGNALFD,
	ACCOUNT_MEMFD,
	ACCOUNT_KINDS,
};

struct account_fd {
	int32_t fd;
	uint32_t kind; /* enum account_kind */
	int32_t same; /* the record with the same open file description; its own index: the first */
	uint32_t flags; /* F_GETFL */
	uint32_t cloexec;
	uint32_t mode; /* st_mode */
	uint64_t dev, ino;
	uint64_t offset;
	void *object; /* what its kind has written down; of the first of the same only */
	char why[ACCOUNT_WHY_MAX];
};

/* a shared mapping that clones get back */
struct account_range {
	uint64_t start, end;
};

/* account_alloc - memory that the seed takes along: zeros, aligned to 16; NULL: there is none */
void *account_alloc(size_t len);
/* account_pages - the same in whole pages, for bulk */
void *account_pages(size_t len);
/* account_drop - unmaps all of it: in a host whose shadow is made, in a clone that has everything
 * back */
void account_drop(void);

#endif
