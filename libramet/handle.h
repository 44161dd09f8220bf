/* struct ramet: a connection shared by threads, and how they wait on it. One thread at a time polls
 * the connection, with the lock released; what arrives is handled with the lock held by whoever
 * comes first. */
#ifndef LIBRAMET_HANDLE_H
#define LIBRAMET_HANDLE_H

#include "base/cleanup.h"
#include "base/list.h"
#include "base/wire.h"
#include "libramet/channel.h"
#include "libramet/conn.h"
#include "ramet/ramet.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/single_threaded.h>

struct ramet {
	pthread_mutex_t lock; /* handle_lock() */
	bool locked; /* it is held, and not only stood for: of who holds the lock */
	pthread_cond_t changed; /* something arrived, or nobody polls any more; CLOCK_MONOTONIC */
	bool polling; /* a thread polls on behalf of all */
	unsigned waiters; /* threads that wait for it */
	unsigned listening; /* waits for the connection alone */
	bool dozing; /* the one that polls sleeps on what its call goes through */
	uint64_t listened_ns; /* when the connection was last heard */
	bool closed;
	unsigned refs; /* the handle itself, and each struct ramet_call */
	struct conn *conn; /* NULL once closed */
	struct channel *channel; /* NULL once closed */
	unsigned under_way; /* calls sent off and not done */
	unsigned inside; /* of those, ones that ramet_call() waits for */
	struct list done; /* calls done and not yet waited for, or with an event: struct
			     ramet_call.link */
	int done_fd; /* eventfd: not 0 while `done` has something, once somebody has asked for
			poll_fd */
	bool polled; /* somebody has */
	int sleep_fd; /* epoll of the connection and, edge-triggered, of the channel: for our own
			 waits */
	int rouse_fd; /* eventfd in sleep_fd, edge-triggered and never read: the thread that polls
			 is to look again. Nobody else has it. */
	int poll_fd; /* epoll of the connection, the channel and done_fd: what callers poll */
	uint32_t node, nodes, expected;
	int32_t pid;
	uint32_t uid; /* who rametd says we are */
	char version[32]; /* of rametd */
};

#define DEADLINE_NONE UINT64_MAX
uint64_t handle_deadline(int timeout_ms); /* CLOCK_MONOTONIC ns; DEADLINE_NONE for negative */

int handle_create(const char *path, struct ramet **ret_ramet, struct ramet_err *err);
void handle_get(struct ramet *ramet); /* lock held */
void handle_put(struct ramet *ramet); /* lock not held */
void handle_unlock_put(struct ramet *ramet); /* lock held, and released */

/* handle_wait - with the lock held: until ready(arg), which is called with it. RAMET_ETIMEOUT (no
 * message is made). */
int handle_wait(struct ramet *ramet, bool (*ready)(void *arg), void *arg, uint64_t deadline_ns,
	struct ramet_err *err);
/* handle_rouse - with the lock held: the thread that polls, if any, looks again at what there is to
 * wait for */
void handle_rouse(struct ramet *ramet);
/* handle_look - with the lock held: take what has arrived, so that what is polled is not readable
 * for it any more */
int handle_look(struct ramet *ramet, struct ramet_err *err);
/* handle_send - with the lock held, which is released while the daemon does not read */
int handle_send(struct ramet *ramet, struct buf *b, struct ramet_err *err);
/* handle_check_open - RAMET_ECLOSED after ramet_close() */
int handle_check_open(const struct ramet *ramet, struct ramet_err *err);

/* The handle's lock. A process with one thread takes none: that thread is here, and makes no other
 * before it has given back what it did not take. */
static inline void handle_lock(struct ramet *ramet)
{
	if (__libc_single_threaded)
		return;
	pthread_mutex_lock(&ramet->lock);
	ramet->locked = true;
}

static inline void handle_unlock(struct ramet *ramet)
{
	if (!ramet->locked)
		return;
	ramet->locked = false;
	pthread_mutex_unlock(&ramet->lock);
}

static inline void cleanup_unlock(struct ramet **ramet)
{
	handle_unlock(*ramet);
}
/* holds the handle's lock until the end of the scope */
#define auto_lock(handle) \
	CLEANUP(cleanup_unlock) struct ramet *locked_ = (handle); \
	handle_lock(locked_)

#endif
