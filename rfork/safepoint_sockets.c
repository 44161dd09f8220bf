/* Socket pairs both of whose ends are here (asyncio wakes itself through one): their buffers, and
 * the bytes that were sent and not yet read. Which sockets are a pair only the kernel's socket
 * monitoring tells. */
#include "rfork/safepoint_fds.h"

#include "rfork/safepoint_fault.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/sockios.h>
#include <linux/unix_diag.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#define SOCKET_MAX_BYTES (4 << 20)

/* One end: what was sent to it, and what is set on it. */
struct end {
	uint64_t ino;
	int send_buffer, receive_buffer, pass_credentials;
	struct timeval send_timeout, receive_timeout;
	bool ended; /* nothing more will come: its peer was shut down for writing */
	int used;
	void *bytes;
	/* in a clone */
	int fd;
	bool given;
};

struct pair {
	int type;
	bool made;
	struct end ends[2];
};

/* --- which is its peer --- */

struct question {
	struct nlmsghdr header;
	struct unix_diag_req request;
};

/* the peer's inode in a message of the kernel's; 0: there is none */
static uint32_t peer_of(const char *bytes, size_t len)
{
	const struct nlmsghdr *h = (const void *)bytes;
	if (len < sizeof(*h) || h->nlmsg_len > len || h->nlmsg_type != SOCK_DIAG_BY_FAMILY ||
		h->nlmsg_len < NLMSG_LENGTH(sizeof(struct unix_diag_msg)))
		return 0;
	size_t at = NLMSG_LENGTH(NLMSG_ALIGN(sizeof(struct unix_diag_msg)));
	while (at + sizeof(struct rtattr) <= h->nlmsg_len) {
		const struct rtattr *attr = (const void *)(bytes + at);
		if (attr->rta_len < sizeof(*attr) || at + attr->rta_len > h->nlmsg_len)
			return 0;
		uint32_t ino = 0;
		if (attr->rta_type == UNIX_DIAG_PEER && attr->rta_len >= RTA_LENGTH(sizeof(ino))) {
			memcpy(&ino, RTA_DATA(attr), sizeof(ino));
			return ino;
		}
		at += RTA_ALIGN(attr->rta_len);
	}
	return 0;
}

static uint32_t ask_peer(uint64_t ino)
{
	_Alignas(struct nlmsghdr) char answer[1024] = {0};
	const struct question q = {
		.header = {.nlmsg_len = sizeof(q),
			.nlmsg_type = SOCK_DIAG_BY_FAMILY,
			.nlmsg_flags = NLM_F_REQUEST},
		.request = {.sdiag_family = AF_UNIX,
			.udiag_states = ~0u,
			.udiag_ino = (uint32_t)ino,
			.udiag_show = UDIAG_SHOW_PEER,
			.udiag_cookie = {~0u, ~0u}},
	};
	int fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
	if (fd < 0)
		return 0;
	ssize_t n = send(fd, &q, sizeof(q), 0);
	if (n == (ssize_t)sizeof(q))
		n = recv(fd, answer, sizeof(answer),
			0); /* it is there: the kernel answers in send */
	close(fd);
	return n > 0 ? peer_of(answer, (size_t)n) : 0;
}

static int get(int fd, int option)
{
	int value = 0;
	socklen_t len = sizeof(value);
	return getsockopt(fd, SOL_SOCKET, option, &value, &len) < 0 ? -1 : value;
}

/* one that was connected by an address would lack it in clones */
static bool is_named(int fd)
{
	struct sockaddr_storage name;
	socklen_t len = sizeof(name);
	return getsockname(fd, (struct sockaddr *)&name, &len) < 0 || len > sizeof(sa_family_t);
}

static struct account_fd *find_socket(const struct fds *fds, uint64_t ino)
{
	for (uint32_t i = 0; i < fds->count; i++)
		if (fds->items[i].kind == ACCOUNT_SOCKET && fds->items[i].ino == ino)
			return &fds->items[i];
	return NULL;
}

/* --- saving --- */

/* what waits to be read, left where it is; false: descriptors travel in it, or it is too much */
static bool copy_bytes(int fd, int type, struct end *end, struct ramet_err *err)
{
	char byte;
	if (type != SOCK_STREAM)
		return recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0;
	if (ioctl(fd, SIOCINQ, &end->used) < 0 || end->used > SOCKET_MAX_BYTES)
		return false;
	if (end->used == 0)
		return true;
	end->bytes = account_pages((size_t)end->used);
	if (!end->bytes)
		return fds_no_memory(err) == 0;
	char control[CMSG_SPACE(sizeof(struct ucred))];
	struct iovec iov = {end->bytes, (size_t)end->used};
	struct msghdr msg = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control)};
	ssize_t n = recvmsg(fd, &msg, MSG_PEEK | MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	const struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
	if (n > 0 && c && c->cmsg_type == SCM_RIGHTS) {
		int copy; /* of one that travels: there is room for no more than two */
		for (size_t at = CMSG_LEN(0); at + sizeof(copy) <= c->cmsg_len;
			at += sizeof(copy)) {
			memcpy(&copy, (const char *)c + at, sizeof(copy));
			close(copy);
		}
		return false;
	}
	return n == end->used && !(msg.msg_flags & MSG_CTRUNC);
}

static bool save_end(const struct account_fd *f, int type, struct end *end, struct ramet_err *err)
{
	struct pollfd pfd = {.fd = f->fd, .events = POLLRDHUP};
	socklen_t len = sizeof(struct timeval);
	*end = (struct end){.ino = f->ino,
		.send_buffer = get(f->fd, SO_SNDBUF),
		.receive_buffer = get(f->fd, SO_RCVBUF),
		.pass_credentials = get(f->fd, SO_PASSCRED),
		.ended = poll(&pfd, 1, 0) == 1 && pfd.revents & POLLRDHUP};
	(void)getsockopt(f->fd, SOL_SOCKET, SO_SNDTIMEO, &end->send_timeout, &len);
	(void)getsockopt(f->fd, SOL_SOCKET, SO_RCVTIMEO, &end->receive_timeout, &len);
	return copy_bytes(f->fd, type, end, err);
}

static int socket_save(struct fds *fds, struct account_fd *f, struct ramet_err *err)
{
	const int type = get(f->fd, SO_TYPE);
	struct account_fd *peer = NULL;
	uint32_t ino = get(f->fd, SO_DOMAIN) == AF_UNIX ? ask_peer(f->ino) : 0;
	if (ino)
		peer = find_socket(fds, ino);
	if (!peer || is_named(f->fd) || is_named(peer->fd)) {
		fds_refuse(f, "%s", ""); /* the daemon says what it is connected to */
		return 0;
	}
	if (peer->object) { /* it has written down both */
		f->object = peer->object;
		return 0;
	}
	struct pair *pair = account_alloc(sizeof(*pair));
	if (!pair)
		return fds_no_memory(err);
	pair->type = type;
	err->code = 0;
	if (!save_end(f, type, &pair->ends[0], err) || !save_end(peer, type, &pair->ends[1], err)) {
		fds_refuse(f, "a socket pair with messages in it that were not read yet");
		fds_refuse(peer, "%s", f->why);
		return err->code;
	}
	f->object = pair;
	return 0;
}

/* --- restoring --- */

static bool set(const struct end *end)
{
	const int half_send = end->send_buffer / 2, half_receive = end->receive_buffer / 2;
	/* the kernel doubles what it is told; the node's limit may be lower */
	(void)setsockopt(end->fd, SOL_SOCKET, SO_SNDBUF, &half_send, sizeof(half_send));
	(void)setsockopt(end->fd, SOL_SOCKET, SO_RCVBUF, &half_receive, sizeof(half_receive));
	return setsockopt(end->fd, SOL_SOCKET, SO_PASSCRED, &end->pass_credentials,
		       sizeof(end->pass_credentials)) == 0 &&
		setsockopt(end->fd, SOL_SOCKET, SO_SNDTIMEO, &end->send_timeout,
			sizeof(end->send_timeout)) == 0 &&
		setsockopt(end->fd, SOL_SOCKET, SO_RCVTIMEO, &end->receive_timeout,
			sizeof(end->receive_timeout)) == 0;
}

/* what waits at `to` is sent by the other end again */
static bool fill(const struct end *from, const struct end *to)
{
	return to->used == 0 || safepoint_fault_hit("safepoint.sockets") ||
		send(from->fd, to->bytes, (size_t)to->used, MSG_DONTWAIT | MSG_NOSIGNAL) ==
		to->used;
}

static int make(
	const struct fds *fds, const struct account_fd *f, struct pair *pair, struct ramet_err *err)
{
	struct end *a = &pair->ends[0], *b = &pair->ends[1];
	int sockets[2];
	if (socketpair(AF_UNIX, pair->type | SOCK_CLOEXEC, 0, sockets) < 0)
		return fds_fail(f, "make its socket pair", err);
	a->fd = fds_raise(fds, sockets[0]);
	b->fd = fds_raise(fds, sockets[1]);
	if (a->fd < 0 || b->fd < 0 || !set(a) || !set(b) || !fill(a, b) || !fill(b, a))
		return fds_fail(f, "fill its socket pair", err);
	if ((a->ended && shutdown(b->fd, SHUT_WR) < 0) ||
		(b->ended && shutdown(a->fd, SHUT_WR) < 0))
		return fds_fail(f, "shut its socket pair down", err);
	pair->made = true;
	return 0;
}

static int socket_restore(struct fds *fds, struct account_fd *f, struct ramet_err *err)
{
	struct pair *pair = f->object;
	int rc = pair->made ? 0 : make(fds, f, pair, err);
	if (rc < 0)
		return rc;
	struct end *end = &pair->ends[pair->ends[0].ino == f->ino ? 0 : 1];
	int fd = fcntl(end->fd, F_DUPFD_CLOEXEC, fds->base);
	return fd < 0 ? fds_fail(f, "duplicate its socket", err) : fd;
}

static int socket_finish(struct fds *fds, struct account_fd *f, struct ramet_err *err)
{
	struct pair *pair = f->object;
	(void)fds, (void)err;
	for (int i = 0; pair->made && i < 2; i++)
		close(pair->ends[i].fd);
	pair->made = false;
	return 0;
}

const struct fd_kind fd_kind_socket = {socket_save, socket_restore, socket_finish};
