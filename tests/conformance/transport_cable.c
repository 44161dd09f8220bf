/* Transport suite: the network between two peers is cut: nothing comes through then, no
 * acknowledgement either. Both ends are in a network namespace of their own, whose only device is
 * taken down; or in two guests (tests/vm). */
#include "tests/conformance/transport_apart.h"
#include "tests/conformance/transport_cases.h"
#include "tests/conformance/transport_pair.h"

#include "base/cleanup.h"
#include "base/clock.h"

#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

struct cable {
	int home; /* the network namespace of before; -1: it is the one of before */
	struct server server;
	struct client client;
};

/* What this guest sends is lost, and what it gets is dropped: at one end, since over a cut cable
 * nothing can be asked of the other one. */
static bool cable_set_between_guests(bool up)
{
	return system(up ? "printf 'qdisc del dev eth0 root\n"
			   "qdisc del dev eth0 ingress\n' | tc -batch -"
			 : "printf 'qdisc replace dev eth0 ingress\n"
			   "filter replace dev eth0 ingress matchall action drop\n"
			   "qdisc replace dev eth0 root netem loss 100%%\n' | tc -batch -") == 0;
}

static bool cable_set(bool up)
{
	struct ifreq req = {.ifr_name = "lo", .ifr_flags = up ? IFF_UP : 0};
	if (apart())
		return cable_set_between_guests(up);
	auto_close int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	return ioctl(fd, SIOCSIFFLAGS, &req) == 0;
}

/* nothing is reached from this thread but itself, until setns() to *ret_home */
static bool namespace_enter(int *ret_home)
{
	int home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	if (!CHECK(home >= 0))
		return false;
	if (unshare(CLONE_NEWNET) < 0) {
		suite_skip("needs root, for a network namespace");
		close(home);
		return false;
	}
	*ret_home = home;
	return CHECK(cable_set(true));
}

static bool cable_open(struct cable *c, const struct transport_options *options)
{
	const char *guests = getenv("RAMET_VM_NODES");
	c->home = -1;
	if (apart() && (!guests || strtol(guests, NULL, 10) < 2)) {
		suite_skip("no cable that could be cut is between the two processes");
		return false;
	}
	if (!apart() && (!PROVIDER.stream || !PROVIDER.processes)) {
		suite_skip("what cuts cables within a machine cuts those of sockets only");
		return false;
	}
	return (apart() || namespace_enter(&c->home)) &&
		server_open(&c->server, PROVIDER.addr, options) && client_open(&c->client, options);
}

static void cable_close(struct cable *c)
{
	client_close(&c->client);
	server_close(&c->server);
	if (c->home < 0)
		return;
	CHECK(setns(c->home, CLONE_NEWNET) == 0);
	close(c->home);
}

static void cable_turn(struct cable *c, uint64_t ns)
{
	uint64_t until = now_ns() + ns;
	for (uint64_t now; (now = now_ns()) < until;)
		loop_turn(c->client.loop, until - now, NULL);
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
	/* the other end notices, too; over a cut cable it cannot say so */
	if (apart())
		cable_turn(&c, NSEC_PER_SEC);
	else
		CHECK(counter_wait(&c.server.closed, 1));
	CHECK(cable_set(true));
	CHECK(counter_wait(&c.server.closed, 1));
	CHECK_INT(c.server.closed_code, RAMET_EPEER);

	/* and who connects now is let in as ever */
	client_connect(&c.client, &c.server);
	CHECK_INT(c.client.connected, 2);
	CHECK_INT(client_read(&c.client, c.server.read_ref, 0, 100000), 0);
	cable_close(&c);
}

/* what is on its way when the cable is cut for a moment arrives later, once and whole */
void test_short_cut_harms_nothing(void)
{
	enum { READS = 40 };
	static struct cable c;
	const struct transport_options options = {.peer_timeout_ms = 3000};
	if (!cable_open(&c, &options))
		return;
	struct client *client = &c.client;
	client_connect(client, &c.server);
	CHECK(cable_set(false));
	for (unsigned i = 0; i < READS; i++)
		CHECK_INT(transport_read(client->conn, ref_at(c.server.read_ref, i), client->local,
				  client->memory + (size_t)i * 100000, 100000, i),
			0);
	CHECK_INT(transport_send(client->conn, "hello?", 6, READS), 0);
	cable_turn(&c, 500 * NSEC_PER_MSEC);
	CHECK_INT(client->done_count, 0);
	CHECK(cable_set(true));
	CHECK(client_wait(client, &client->done_count, READS + 1));
	CHECK_INT(client->done_count, READS + 1);
	for (unsigned i = 0; i < READS + 1; i++)
		CHECK_INT(client->done[i].status, 0);
	for (unsigned i = 0; i < READS; i++)
		CHECK(pattern_matches(client->memory + (size_t)i * 100000, i, 100000));
	CHECK(counter_wait(&c.server.messages, 1));
	CHECK_INT(counter_get(&c.server.messages), 1);
	CHECK_INT(client->closed, 0);
	cable_close(&c);
}
