/* Descriptors over Unix sockets: control messages are built and taken apart here only. */
#include "base/fdpass.h"
#include "base/cleanup.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>

union control {
	char bytes[CMSG_SPACE(FDPASS_MAX * sizeof(int))];
	struct cmsghdr align;
};

ssize_t fdpass_send(int sock, const struct iovec *iov, size_t iov_count, const int *fds,
	unsigned nfds, int flags)
{
	union control control = {0};
	struct msghdr msg = {.msg_iov = (struct iovec *)iov, .msg_iovlen = iov_count};
	if (nfds > FDPASS_MAX) {
		errno = EINVAL;
		return -1;
	}
	if (nfds) {
		msg.msg_control = control.bytes;
		msg.msg_controllen = CMSG_SPACE(nfds * sizeof(int));
		struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(nfds * sizeof(int));
		memcpy(CMSG_DATA(c), fds, nfds * sizeof(int));
	}
	ssize_t n;
	do
		n = sendmsg(sock, &msg, flags | MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n;
}

static unsigned take_fds(struct msghdr *msg, int *fds)
{
	unsigned count = 0;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < n; i++) {
			int fd;
			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
			if (count < FDPASS_MAX)
				fds[count++] = fd;
			else
				close_keep_errno(fd);
		}
	}
	return count;
}

ssize_t fdpass_recv(int sock, void *data, size_t cap, int *fds, unsigned *ret_nfds, int flags)
{
	union control control;
	struct iovec iov = {.iov_base = data, .iov_len = cap};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes};
	ssize_t n;
	do {
		msg.msg_controllen = sizeof(control.bytes);
		n = recvmsg(sock, &msg, flags | MSG_CMSG_CLOEXEC);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return n;
	unsigned nfds = msg.msg_controllen ? take_fds(&msg, fds) : 0;
	if (msg.msg_flags & MSG_CTRUNC) {
		bool sent_more = nfds == FDPASS_MAX; /* else there was no room for them here */
		fdpass_close(fds, nfds);
		errno = sent_more ? EPROTO : EMFILE;
		return -1;
	}
	*ret_nfds = nfds;
	return n;
}

/* A peer's socket may be set to linger: then closing it would wait for as long as the peer likes. */
void fdpass_close(int *fds, unsigned nfds)
{
	const struct linger at_once = {0};
	for (unsigned i = 0; i < nfds; i++) {
		(void)setsockopt(fds[i], SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
		close_reset(&fds[i]);
	}
}
