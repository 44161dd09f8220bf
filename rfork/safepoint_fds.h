/* The open descriptors of a host: written down before its shadow is made, put back in its clones.
 * Part of a host. One file a kind: safepoint_fds.c (files, and what is common), safepoint_pipes.c,
 * safepoint_sockets.c, safepoint_events.c, safepoint_memfd.c. */
#ifndef RFORK_SAFEPOINT_FDS_H
#define RFORK_SAFEPOINT_FDS_H

#include "ramet/error.h"
#include "rfork/safepoint_account.h"

struct fds {
	struct account_fd *items;
	uint32_t count;
	int base; /* in a clone: numbers from here on are free */
};

/* fds_save - all but stdio and the numbers in except[2]. close: enum safepoint_close. Returns
 * RAMET_ENOMEM; what cannot be carried over is in the list and said there. */
int fds_save(struct fds *fds, const int except[2], unsigned close, struct ramet_err *err);
/* fds_restore - in a clone. RAMET_EREFUSED: what could not be put back, and why. */
int fds_restore(struct fds *fds, struct ramet_err *err);

/* --- for the files of the kinds --- */

/* Functions of a kind; save and restore of the first record of each open file description only. */
struct fd_kind {
	/* 0, or RAMET_ENOMEM; what it cannot carry it refuses with fds_refuse() */
	int (*save)(struct fds *fds, struct account_fd *f, struct ramet_err *err);
	/* opens it anew, at any number: the caller puts it where it belongs. Negative: RAMET_E… */
	int (*restore)(struct fds *fds, struct account_fd *f, struct ramet_err *err);
	/* when every descriptor is at its place; may be NULL */
	int (*finish)(struct fds *fds, struct account_fd *f, struct ramet_err *err);
};
extern const struct fd_kind fd_kind_pipe, fd_kind_socket, fd_kind_eventfd, fd_kind_epoll,
	fd_kind_timerfd, fd_kind_signalfd, fd_kind_memfd;

void fds_refuse(struct account_fd *f, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int fds_no_memory(struct ramet_err *err);
/* fds_fail - RAMET_EREFUSED: a clone could not do this to a descriptor, from errno */
int fds_fail(const struct account_fd *f, const char *what, struct ramet_err *err);
/* fds_raise - a new descriptor to a number that none of the host's has; negative: it could not, and
 * fd is closed */
int fds_raise(const struct fds *fds, int fd);
/* fds_first - the first record for which match says so, from index `from` on; NULL: none */
struct account_fd *fds_number(const struct fds *fds, int fd);
/* fds_info - a line of /proc/self/fdinfo that begins with key, behind it; false: there is none */
bool fds_info(int fd, const char *key, char *value, size_t cap);
bool fds_info_number(int fd, const char *key, int base, uint64_t *ret);

#endif
