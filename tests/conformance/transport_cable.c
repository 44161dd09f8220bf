/* Transport suite: the network between two peers is cut. Both ends are in a network namespace of
 * their own, whose only device is taken down: nothing comes through then, no acknowledgement
 * either. */
#include "tests/conformance/transport_cases.h"
#include "tests/conformance/transport_pair.h"

#include "base/cleanup.h"
#include "base/clock.h"

#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

struct cable {
	int home; /* the network namespace of before */
	struct server server;
	struct client client;
};

static bool cable_set(bool up)
{
	struct ifreq req = {.ifr_name = "lo", .ifr_flags = up ? IFF_UP : 0};
	auto_close int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	return ioctl(fd, SIOCSIFFLAGS, &req) == 0;
}

static bool cable_open(struct cable *c, const struct transport_options *options)
{
	if (!PROVIDER.stream || !PROVIDER.processes) {
		suite_skip("what cuts cables here cuts those of sockets only");
		return false;
	}
	c->home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	if (!CHECK(c->home >= 0))
		return false;
	if (unshare(CLONE_NEWNET) < 0) {
		suite_skip("needs root, for a network namespace");
		close(c->home);
		return false;
	}
	return CHECK(cable_set(true)) && server_open(&c->server, PROVIDER.addr, options) &&
		client_open(&c->client, options);
}

static void cable_close(struct cable *c)
{
	client_close(&c->client);
	server_close(&c->server);
	CHECK(setns(c->home, CLONE_NEWNET) == 0);
	close(c->home);
}

void test_cut_cable_is_death(void)
{
	static struct cable c;
	const struct transport_options options = {.peer_timeout_ms = 800};
	if (!cable_open(&c, &options))
		return;
	client_connect(&c.client, &c.server);
	CHECK_INT(client_read(&c.client, c.server.read_ref, 0, 4096), 0);
	CHECK(cable_set(false));
	const struct stopwatch start = stopwatch();
	CHECK_INT(transport_send(c.client.conn, "hello?", 6, 1), 0);
	CHECK(client_wait(&c.client, &c.client.closed, 1));
	CHECK(elapsed(&start) < NSEC_PER_SEC);
	CHECK_INT(c.client.closed_code, RAMET_EPEER);
	CHECK_INT(c.client.done_count, 2);
	CHECK_INT(c.client.done[1].status, RAMET_EPEER);
	CHECK(counter_wait(&c.server.closed, 1)); /* the other end has noticed, too */
	CHECK_INT(c.server.closed_code, RAMET_EPEER);
	cable_close(&c);
}

void test_short_cut_harms_nothing(void)
{
	static struct cable c;
	const struct transport_options options = {.peer_timeout_ms = 3000};
	if (!cable_open(&c, &options))
		return;
	client_connect(&c.client, &c.server);
	CHECK(cable_set(false));
	CHECK_INT(transport_send(c.client.conn, "hello?", 6, 1), 0);
	uint64_t until = now_ns() + 500 * NSEC_PER_MSEC;
	while (now_ns() < until)
		loop_turn(c.client.loop, until - now_ns(), NULL);
	CHECK_INT(c.client.done_count, 0);
	CHECK(cable_set(true));
	CHECK(client_wait(&c.client, &c.client.done_count, 1));
	CHECK_INT(c.client.done[0].status, 0);
	CHECK_INT(c.client.closed, 0);
	cable_close(&c);
}
