/* A bare TCP ping-pong between the networks of two processes. */
#include "bench/invoke.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/err.h"

#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define SIZE_MAX_BYTES 4096

struct tcp_pingpong {
	int fd;
	size_t size;
	pid_t pid;
	char data[SIZE_MAX_BYTES];
};

static int open_network(pid_t pid)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)pid);
	return open(path, O_RDONLY | O_CLOEXEC);
}

/* the address of the first interface here that is not the loopback; it, if there is no other */
static void own_address(struct sockaddr_in *ret)
{
	struct ifaddrs *all = NULL;
	*ret = (struct sockaddr_in){
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	if (getifaddrs(&all) < 0)
		return;
	for (const struct ifaddrs *a = all; a; a = a->ifa_next)
		if (a->ifa_addr && a->ifa_addr->sa_family == AF_INET &&
			!(a->ifa_flags & IFF_LOOPBACK))
			memcpy(&ret->sin_addr,
				&((struct sockaddr_in *)(void *)a->ifa_addr)->sin_addr,
				sizeof(ret->sin_addr));
	freeifaddrs(all);
}

static int transfer(int fd, char *data, size_t size, bool out)
{
	for (size_t done = 0; done < size;) {
		ssize_t n = out ? send(fd, data + done, size - done, MSG_NOSIGNAL)
				: recv(fd, data + done, size - done, 0);
		if (n <= 0)
			return -1;
		done += (size_t)n;
	}
	return 0;
}

static void no_delay(int fd)
{
	const int one = 1;
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}

static void serve(int listener, int cpu, size_t size)
{
	char data[SIZE_MAX_BYTES];
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)invoke_pin(0, cpu, NULL);
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	no_delay(fd);
	while (transfer(fd, data, size, false) == 0 && transfer(fd, data, size, true) == 0)
		;
	_exit(0);
}

/* in the network of networks[1] a listener, in that of networks[0] a socket that is connected to it
 */
static int connect_both(const int networks[2], int *ret_listener, int *ret_fd)
{
	struct sockaddr_in address;
	socklen_t len = sizeof(address);
	if (setns(networks[1], CLONE_NEWNET) < 0)
		return -1;
	own_address(&address);
	*ret_listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (*ret_listener < 0 ||
		bind(*ret_listener, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
		listen(*ret_listener, 1) < 0 ||
		getsockname(*ret_listener, (struct sockaddr *)&address, &len) < 0 ||
		setns(networks[0], CLONE_NEWNET) < 0)
		return -1;
	*ret_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	return *ret_fd < 0 ? -1 : connect(*ret_fd, (const struct sockaddr *)&address, len);
}

int tcp_pingpong_start(const pid_t peers[2], int cpu, size_t size, struct tcp_pingpong **ret,
	struct ramet_err *err)
{
	auto_free struct tcp_pingpong *p = calloc(1, sizeof(*p));
	auto_close int near = open_network(peers[0]);
	auto_close int far = open_network(peers[1]);
	auto_close int own = open_network(getpid());
	auto_close int listener = -1;
	auto_close int fd = -1;
	if (!p || size > SIZE_MAX_BYTES)
		return err_nomem(err);
	int rc = connect_both((const int[]){near, far}, &listener, &fd);
	int saved = errno;
	if (setns(own, CLONE_NEWNET) < 0 || rc < 0) {
		errno = saved;
		return err_errno(err, RAMET_EIO, "connect two networks");
	}
	no_delay(fd);
	p->size = size;
	p->pid = fork();
	if (p->pid < 0)
		return err_errno(err, RAMET_EIO, "fork");
	if (p->pid == 0)
		serve(listener, cpu, size);
	p->fd = steal_fd(&fd);
	*ret = steal_ptr(&p);
	return 0;
}

int tcp_pingpong_round(struct tcp_pingpong *p, double *ret_us, struct ramet_err *err)
{
	uint64_t begin = now_ns();
	if (transfer(p->fd, p->data, p->size, true) < 0 ||
		transfer(p->fd, p->data, p->size, false) < 0)
		return err_errno(err, RAMET_EIO, "TCP ping-pong");
	*ret_us = (double)(now_ns() - begin) / 1e3;
	return 0;
}

void tcp_pingpong_stop(struct tcp_pingpong *p)
{
	if (!p)
		return;
	close(p->fd);
	kill(p->pid, SIGKILL);
	(void)waitpid(p->pid, NULL, 0);
	free(p);
}
