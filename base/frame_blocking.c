/* Frames for those who have no loop: each call moves exactly one frame and never reads beyond it.
 */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fdpass.h"
#include "base/frame.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define HEADER 4

/* with a deadline nothing may block in the kernel, whatever the descriptor's flags are */
static int io_flags(uint64_t deadline_ns)
{
	return deadline_ns ? MSG_DONTWAIT : 0;
}

/* after EAGAIN: until the descriptor is ready or the deadline has passed */
static int wait_for(int fd, short events, uint64_t deadline_ns, struct ramet_err *err)
{
	for (;;) {
		struct timespec ts;
		uint64_t now = deadline_ns ? now_ns() : 0;
		if (deadline_ns && now >= deadline_ns)
			return err_set(err, RAMET_ETIMEOUT, "time limit passed while %s",
				events == POLLIN ? "waiting for the peer" : "sending");
		ts.tv_sec = (time_t)((deadline_ns - now) / NSEC_PER_SEC);
		ts.tv_nsec = (long)((deadline_ns - now) % NSEC_PER_SEC);
		struct pollfd p = {.fd = fd, .events = events};
		int n = ppoll(&p, 1, deadline_ns ? &ts : NULL, NULL);
		if (n > 0)
			return 0;
		if (n < 0 && errno != EINTR)
			return err_errno(err, RAMET_EIO, "poll");
	}
}

static bool would_block(void)
{
	return errno == EAGAIN || errno == EWOULDBLOCK;
}

int frame_write(int fd, const void *data, size_t len, const int *fds, unsigned nfds,
	uint64_t deadline_ns, struct ramet_err *err)
{
	if (len > UINT32_MAX || nfds > FRAME_MAX_FDS)
		return err_set(
			err, RAMET_EINVAL, "frame of %zu bytes and %u descriptors", len, nfds);
	unsigned char header[HEADER] = {(unsigned char)len, (unsigned char)(len >> 8),
		(unsigned char)(len >> 16), (unsigned char)(len >> 24)};
	struct iovec iov[2] = {{header, HEADER}, {(void *)data, len}};
	while (iov[0].iov_len || iov[1].iov_len) {
		unsigned skip = iov[0].iov_len == 0;
		ssize_t n = fdpass_send(fd, iov + skip, 2 - skip, fds, nfds, io_flags(deadline_ns));
		if (n < 0 && would_block()) {
			int rc = wait_for(fd, POLLOUT, deadline_ns, err);
			if (rc < 0)
				return rc;
			continue;
		}
		if (n < 0)
			return err_errno(err, errno == EBADF ? RAMET_EINVAL : RAMET_EPEER, "send");
		nfds = 0;
		for (unsigned i = 0; i < 2; i++) {
			size_t part = MIN((size_t)n, iov[i].iov_len);
			iov[i].iov_base = (unsigned char *)iov[i].iov_base + part;
			iov[i].iov_len -= part;
			n -= (ssize_t)part;
		}
	}
	return 0;
}

/* descriptors received so far, with the caller's room for them */
struct received {
	int fds[FDPASS_MAX];
	unsigned count, room;
};

static void cleanup_received(struct received *r)
{
	fdpass_close(r->fds, r->count);
}

static int read_once(int fd, unsigned char *data, size_t len, bool first, struct received *r,
	uint64_t deadline_ns, size_t *ret_got, struct ramet_err *err)
{
	int got[FDPASS_MAX];
	unsigned count = 0;
	ssize_t n = fdpass_recv(fd, data, len, got, &count, io_flags(deadline_ns));
	if (n == 0)
		return err_set(err, RAMET_EPEER, "peer closed the connection%s",
			first ? "" : " within a frame");
	if (n < 0 && would_block()) {
		*ret_got = 0;
		return wait_for(fd, POLLIN, deadline_ns, err);
	}
	if (n < 0 && errno == EPROTO)
		return err_set(
			err, RAMET_EPROTO, "peer sent more than %d descriptors", FRAME_MAX_FDS);
	if (n < 0)
		return err_errno(err, RAMET_EPEER, "receive");
	if (count && (!first || count > r->room)) {
		fdpass_close(got, count);
		return err_set(err, RAMET_EPROTO, "peer sent %u descriptors that were not expected",
			count);
	}
	if (count) {
		memcpy(r->fds, got, count * sizeof(int));
		r->count = count;
	}
	*ret_got = (size_t)n;
	return 0;
}

static int read_exactly(int fd, unsigned char *data, size_t len, bool at_start, struct received *r,
	uint64_t deadline_ns, struct ramet_err *err)
{
	for (size_t done = 0, got; done < len; done += got) {
		int rc = read_once(fd, data + done, len - done, at_start && done == 0, r,
			deadline_ns, &got, err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

int frame_read(int fd, size_t max_frame, unsigned char **ret_data, size_t *ret_len, int *fds,
	unsigned *io_nfds, uint64_t deadline_ns, struct ramet_err *err)
{
	CLEANUP(cleanup_received) struct received r = {.room = fds && io_nfds ? *io_nfds : 0};
	unsigned char header[HEADER];
	int rc = read_exactly(fd, header, HEADER, true, &r, deadline_ns, err);
	if (rc < 0)
		return rc;
	size_t len = (size_t)header[0] | (size_t)header[1] << 8 | (size_t)header[2] << 16 |
		(size_t)header[3] << 24;
	if (len > max_frame)
		return err_set(err, RAMET_EPROTO, "frame of %zu bytes exceeds the limit of %zu",
			len, max_frame);
	auto_free unsigned char *data = malloc(len + 1);
	if (!data)
		return err_nomem(err);
	data[len] = '\0';
	rc = read_exactly(fd, data, len, false, &r, deadline_ns, err);
	if (rc < 0)
		return rc;
	if (fds && io_nfds) {
		memcpy(fds, r.fds, r.count * sizeof(int));
		*io_nfds = r.count;
		r.count = 0;
	}
	*ret_data = steal_ptr(&data);
	*ret_len = len;
	return 0;
}
