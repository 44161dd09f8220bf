/* Describing a descriptor of another process: a copy of it answers. See capture_socket.h. */
#include "rfork/capture_socket.h"

#include "base/cleanup.h"

#include <netdb.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

struct address {
	struct sockaddr_storage storage;
	socklen_t len;
};

static int get_int(int fd, int option)
{
	int value = 0;
	socklen_t len = sizeof(value);
	return getsockopt(fd, SOL_SOCKET, option, &value, &len) < 0 ? -1 : value;
}

static const char *kind(int family, int type)
{
	if (family == AF_UNIX)
		return "a Unix socket";
	if (family == AF_INET || family == AF_INET6)
		return type == SOCK_STREAM   ? "a TCP socket"
			: type == SOCK_DGRAM ? "a UDP socket"
					     : "an IP socket";
	return "a socket";
}

static void unix_text(const struct address *a, char *dst, size_t cap)
{
	const struct sockaddr_un *un = (const void *)&a->storage;
	const size_t before = offsetof(struct sockaddr_un, sun_path);
	size_t len = a->len > before ? a->len - before : 0;
	if (len == 0)
		snprintf(dst, cap, "its other end");
	else if (un->sun_path[0])
		snprintf(dst, cap, "%.*s", (int)strnlen(un->sun_path, len), un->sun_path);
	else
		snprintf(dst, cap, "@%.*s", (int)len - 1, un->sun_path + 1);
}

static void ip_text(const struct address *a, char *dst, size_t cap)
{
	char host[64], port[8];
	if (getnameinfo((const void *)&a->storage, a->len, host, sizeof(host), port, sizeof(port),
		    NI_NUMERICHOST | NI_NUMERICSERV) != 0)
		snprintf(dst, cap, "an unknown address");
	else
		snprintf(dst, cap, strchr(host, ':') ? "[%s]:%s" : "%s:%s", host, port);
}

static void address_text(const struct address *a, char *dst, size_t cap)
{
	if (a->storage.ss_family == AF_UNIX)
		unix_text(a, dst, cap);
	else
		ip_text(a, dst, cap);
}

void capture_socket_describe(pid_t pid, int fd, char *dst, size_t cap)
{
	snprintf(dst, cap, "a socket");
	auto_close int process = (int)syscall(SYS_pidfd_open, pid, 0);
	auto_close int copy = process < 0 ? -1 : (int)syscall(SYS_pidfd_getfd, process, fd, 0);
	struct address at = {.len = sizeof(at.storage)};
	if (copy < 0 || getsockname(copy, (void *)&at.storage, &at.len) < 0)
		return;
	const char *what = kind(at.storage.ss_family, get_int(copy, SO_TYPE));
	const char *how = get_int(copy, SO_ACCEPTCONN) > 0 ? " listening at " : " bound to ";
	struct address peer = {.len = sizeof(peer.storage)};
	if (getpeername(copy, (void *)&peer.storage, &peer.len) == 0) {
		at = peer;
		how = " connected to ";
	}
	char text[128];
	address_text(&at, text, sizeof(text));
	snprintf(dst, cap, "%s%s%s", what, how, text);
}
