/* Frames over the control socket with blocking calls; see runtime/host/channel.h for whose memory
 * is whose. */
#include "runtime/host/channel.h"

#include "base/cleanup.h"
#include "base/err.h"
#include "base/frame.h"
#include "runtime/host_proto.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define CHANNEL_HEADER 4u

void channel_init(struct channel *channel, int fd)
{
	*channel = (struct channel){.fd = fd, .cap = CHANNEL_SMALL};
	channel->data = channel->small;
}

static void channel_shrink(struct channel *channel)
{
	if (channel->data == channel->small)
		return;
	munmap(channel->data, channel->cap);
	channel->data = channel->small;
	channel->cap = CHANNEL_SMALL;
}

/* room for a frame of need bytes from the start of the buffer; a new mapping, never mremap (see
 * docs: a grown mapping of a clone would show bytes of the seed) */
static int channel_grow(struct channel *channel, size_t need, struct ramet_err *err)
{
	size_t cap = (need + 65535) & ~(size_t)65535;
	void *data = mmap(NULL, cap, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (data == MAP_FAILED)
		return err_errno(err, RAMET_ENOMEM, "map %zu bytes for a message", cap);
	memcpy(data, channel->data + channel->start, channel->end - channel->start);
	channel->end -= channel->start;
	channel->start = 0;
	channel_shrink(channel);
	channel->data = data;
	channel->cap = cap;
	return 0;
}

/* moves what is unread to the front, and out of a buffer larger than keep if it fits without */
static void channel_compact(struct channel *channel, size_t keep)
{
	size_t left = channel->end - channel->start;
	const unsigned char *from = channel->data + channel->start;
	if (channel->data != channel->small && channel->cap > keep && left <= CHANNEL_SMALL) {
		memcpy(channel->small, from, left);
		channel_shrink(channel);
	} else if (channel->start > 0) {
		memmove(channel->data, from, left);
	}
	channel->start = 0;
	channel->end = left;
}

static void channel_close_fds(struct channel *channel)
{
	for (unsigned i = 0; i < channel->nfds; i++)
		if (channel->fds[i] >= 0)
			close(channel->fds[i]);
	channel->nfds = 0;
}

static void channel_keep_fds(struct channel *channel, struct msghdr *msg)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < n; i++) {
			int fd;
			memcpy(&fd, CMSG_DATA(c) + i * sizeof(fd), sizeof(fd));
			if (channel->nfds < FRAME_MAX_FDS)
				channel->fds[channel->nfds++] = fd;
			else
				close(fd);
		}
	}
}

static int channel_fill(struct channel *channel, struct ramet_err *err)
{
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(FRAME_MAX_FDS * sizeof(int))];
	} control;
	struct iovec iov = {channel->data + channel->end, channel->cap - channel->end};
	struct msghdr msg = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.space,
		.msg_controllen = sizeof(control.space)};
	ssize_t n;
	do
		n = recvmsg(channel->fd, &msg, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0 && errno != ECONNRESET)
		return err_errno(err, RAMET_EIO, "read from the control socket");
	if (n <= 0 && channel->end > channel->start)
		return err_set(err, RAMET_EPROTO, "the control socket was closed within a message");
	if (n <= 0)
		return err_set(err, RAMET_ECLOSED, "the control socket was closed");
	channel->end += (size_t)n;
	channel_keep_fds(channel, &msg);
	return 0;
}

static size_t channel_frame_len(const unsigned char *p)
{
	return (size_t)p[0] | (size_t)p[1] << 8 | (size_t)p[2] << 16 | (size_t)p[3] << 24;
}

/* bytes [start, start + need) are there afterwards */
static int channel_need(struct channel *channel, size_t need, struct ramet_err *err)
{
	int rc = 0;
	if (channel->cap - channel->start < need)
		rc = channel_grow(channel, need, err);
	while (rc == 0 && channel->end - channel->start < need)
		rc = channel_fill(channel, err);
	return rc;
}

int channel_read(struct channel *channel, const unsigned char **ret_data, size_t *ret_len,
	struct ramet_err *err)
{
	channel_compact(channel, CHANNEL_KEEP);
	channel_close_fds(channel);
	int rc = channel_need(channel, CHANNEL_HEADER, err);
	if (rc < 0)
		return rc;
	size_t len = channel_frame_len(channel->data);
	if (len == 0 || len > HOST_MAX_FRAME)
		return err_set(err, RAMET_EPROTO, "a message of %zu bytes: at most %u are allowed",
			len, HOST_MAX_FRAME);
	rc = channel_need(channel, CHANNEL_HEADER + len, err);
	if (rc < 0)
		return rc;
	*ret_data = channel->data + CHANNEL_HEADER;
	*ret_len = len;
	channel->start = CHANNEL_HEADER + len;
	return 0;
}

bool channel_buffered(const struct channel *channel)
{
	return channel->end > channel->start;
}

bool channel_pending(const struct channel *channel)
{
	char byte;
	return channel_buffered(channel) ||
		recv(channel->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) >= 0; /* its end, too */
}

int channel_take_fd(struct channel *channel, unsigned i)
{
	int fd = i < channel->nfds ? channel->fds[i] : -1;
	if (fd >= 0)
		channel->fds[i] = -1;
	return fd;
}

void channel_trim(struct channel *channel)
{
	channel_compact(channel, 0);
}

void channel_forget(struct channel *channel)
{
	channel_shrink(channel);
	channel->start = channel->end = channel->nfds = 0;
}

static void channel_attach(struct msghdr *msg, const int *fds, unsigned nfds)
{
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(msg);
	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(nfds * sizeof(int));
	memcpy(CMSG_DATA(cmsg), fds, nfds * sizeof(int));
}

static void channel_advance(struct msghdr *msg, size_t sent)
{
	while (msg->msg_iovlen > 0 && sent >= msg->msg_iov->iov_len) {
		sent -= msg->msg_iov->iov_len;
		msg->msg_iov++;
		msg->msg_iovlen--;
	}
	if (msg->msg_iovlen > 0) {
		msg->msg_iov->iov_base = (unsigned char *)msg->msg_iov->iov_base + sent;
		msg->msg_iov->iov_len -= sent;
	}
}

static int channel_send_all(struct channel *channel, struct msghdr *msg, struct ramet_err *err)
{
	while (msg->msg_iovlen > 0) {
		ssize_t n = sendmsg(channel->fd, msg, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EPIPE || errno == ECONNRESET))
			return err_set(err, RAMET_ECLOSED, "the control socket was closed");
		if (n < 0)
			return err_errno(err, RAMET_EIO, "write to the control socket");
		msg->msg_control = NULL; /* descriptors travel with the first byte */
		msg->msg_controllen = 0;
		channel_advance(msg, (size_t)n);
	}
	return 0;
}

int channel_send(struct channel *channel, const struct iovec *parts, unsigned nparts,
	const int *fds, unsigned nfds, struct ramet_err *err)
{
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(FRAME_MAX_FDS * sizeof(int))];
	} control;
	unsigned char header[CHANNEL_HEADER];
	struct iovec iov[1 + CHANNEL_MAX_IOV] = {{header, sizeof(header)}};
	struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 1};
	size_t len = 0;
	for (unsigned i = 0; i < nparts; i++) {
		len += parts[i].iov_len;
		iov[msg.msg_iovlen++] = parts[i];
	}
	for (unsigned i = 0; i < CHANNEL_HEADER; i++)
		header[i] = (unsigned char)(len >> (8 * i));
	if (nfds > 0) {
		msg.msg_control = control.space;
		msg.msg_controllen = CMSG_SPACE(nfds * sizeof(int));
		channel_attach(&msg, fds, nfds);
	}
	channel->sending = 1;
	int rc = channel_send_all(channel, &msg, err);
	channel->sending = 0;
	return rc;
}
