/* Transport suite: peers that die or fall silent. On sockets the peer is a child process that gets
 * signals; on mem death is transport_mem_stop(): from then on that transport answers nobody. */
#include "tests/conformance/transport_apart.h"
#include "tests/conformance/transport_cases.h"
#include "tests/conformance/transport_pair.h"

#include "base/clock.h"
#include "transport/mem.h"
#include "transport/pulse.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* By default a death is noticed within a second. The kernel of a process that was stopped still
 * acknowledges: it may be slow, and has three timeouts. */
#define DEATH_NS ((PROVIDER.processes ? PULSE_PATIENCE : 1) * NSEC_PER_SEC)

/* the timeouts that users get, also where other tests are more patient */
static const struct transport_options *by_default(void)
{
	static const struct transport_options options = {.peer_timeout_ms = 800};
	return PROVIDER.patience_ms ? &options : NULL;
}

/* what a client needs to know of a server in another process */
struct card {
	char addr[TRANSPORT_ADDR_MAX];
	unsigned char token[TRANSPORT_TOKEN_MAX];
	size_t token_len;
	struct segment_ref read_ref;
};

int mortal_main(const char *pipe_fd)
{
	static struct server server;
	struct server *s = &server;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (!server_open(s, PROVIDER.addr, by_default()))
		return 1;
	struct card card = {.token_len = s->token_len, .read_ref = s->read_ref};
	memcpy(card.addr, s->addr, sizeof(card.addr));
	memcpy(card.token, s->token, sizeof(card.token));
	if (write((int)strtol(pipe_fd, NULL, 10), &card, sizeof(card)) != sizeof(card))
		return 1;
	for (;;)
		pause();
}

/* The child of the process that has the servers; there is one at a time. */
static SHARED struct {
	pid_t pid;
	struct card card;
	int told; /* all of its card */
} child;

static void child_start(void)
{
	int fds[2];
	child.told = 0;
	REQUIRE(pipe(fds) == 0);
	char number[16];
	snprintf(number, sizeof(number), "%d", fds[1]);
	child.pid = fork();
	if (child.pid == 0) { /* a program of its own: devices' mappings do not survive a fork */
		execl("/proc/self/exe", "transport", MORTAL, number, (char *)NULL);
		_exit(1);
	}
	close(fds[1]);
	child.told = CHECK_INT(read(fds[0], &child.card, sizeof(child.card)), sizeof(child.card));
	close(fds[0]);
	CHECK(child.pid > 0);
}

static void child_stop(void)
{
	int status;
	kill(child.pid, SIGSTOP);
	CHECK(waitpid(child.pid, &status, WUNTRACED) == child.pid && WIFSTOPPED(status));
}

static void child_continue(void)
{
	kill(child.pid, SIGCONT);
}

static void child_kill(void)
{
	kill(child.pid, SIGKILL);
	CHECK_INT(waitpid(child.pid, NULL, 0), child.pid);
}

/* A server that can die: a thread (mem) or a child process (sockets). */
struct mortal {
	struct server server; /* of a child: only what its card says */
};

static int in_process(void)
{
	return !PROVIDER.processes;
}

static int mortal_open(struct mortal *m)
{
	memset(m, 0, sizeof(*m));
	if (in_process())
		return server_open(&m->server, "mem:mortal", by_default());
	server_run(child_start);
	memcpy(m->server.addr, child.card.addr, sizeof(child.card.addr));
	memcpy(m->server.token, child.card.token, sizeof(child.card.token));
	m->server.token_len = child.card.token_len;
	m->server.read_ref = child.card.read_ref;
	return child.told;
}

static void server_fall_silent(struct server *s)
{
	transport_mem_stop(s->transport);
}

static void mortal_fall_silent(struct mortal *m)
{
	if (in_process())
		server_call(&m->server, server_fall_silent);
	else
		server_run(child_stop);
}

static void mortal_close(struct mortal *m)
{
	if (in_process())
		server_close(&m->server);
	else
		server_run(child_kill);
}

static void post_reads(struct client *c, const struct server *s, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		CHECK_INT(transport_read(
				  c->conn, s->read_ref, c->local, c->memory + i * 4096, 4096, i),
			0);
}

static void check_all_failed_within(
	struct client *c, const struct stopwatch *start, unsigned from, unsigned count)
{
	CHECK(client_wait(c, &c->closed, 1));
	CHECK(elapsed(start) < DEATH_NS);
	CHECK_INT(c->closed_code, RAMET_EPEER);
	CHECK_INT(c->done_count, from + count);
	for (unsigned i = from; i < from + count; i++)
		CHECK(c->done[i].status == RAMET_EPEER ||
			(PROVIDER.device_serves && c->done[i].status == 0));
}

void test_silent_peer_fails_what_is_in_flight(void)
{
	unsigned fds = suite_count_fds();
	struct mortal m;
	struct server other;
	struct client c;
	if (!mortal_open(&m) || !server_open(&other, PROVIDER.addr, by_default()) ||
		!client_open(&c, by_default()))
		return;
	client_connect(&c, &other);
	struct transport_conn *bystander = c.conn;
	client_connect(&c, &m.server);
	CHECK_INT(client_read(&c, m.server.read_ref, 0, 4096), 0);
	CHECK(pattern_matches(c.memory, 0, 4096));

	mortal_fall_silent(&m);
	const struct stopwatch start = stopwatch();
	post_reads(&c, &m.server, 500);
	CHECK_INT(transport_send(c.conn, "hello?", 6, 500), 0);
	check_all_failed_within(&c, &start, 1, 501);
	c.conn = bystander; /* unharmed */
	CHECK_INT(client_read(&c, other.read_ref, 0, 4096), 0);

	/* whoever takes its place is reached as before */
	client_connect(&c, &other);
	CHECK_INT(c.connected, 3);
	CHECK_INT(client_read(&c, other.read_ref, 0, 65536), 0);
	CHECK(pattern_matches(c.memory, 0, 65536));
	client_close(&c);
	server_close(&other);
	mortal_close(&m);
	CHECK_INT(suite_count_fds(), fds);
}

void test_idle_connection_notices_death(void)
{
	struct mortal m;
	struct client c;
	if (!mortal_open(&m) || !client_open(&c, by_default()))
		return;
	client_connect(&c, &m.server);
	mortal_fall_silent(&m);
	const struct stopwatch start = stopwatch();
	check_all_failed_within(&c, &start, 0, 0);
	client_close(&c);
	mortal_close(&m);
}

/* an idle pair stays together for much longer than the timeout */
void test_heartbeats_keep_idle_connections(void)
{
	struct pair p;
	const struct transport_options hasty = {.peer_timeout_ms = 250};
	if (!pair_open(&p, &hasty))
		return;
	struct ramet_err err = {0};
	uint64_t deadline = now_ns() + 800 * NSEC_PER_MSEC;
	while (now_ns() < deadline)
		REQUIRE_OK(loop_turn(p.client.loop, deadline - now_ns(), &err), &err);
	CHECK_INT(p.client.closed, 0);
	CHECK_INT(counter_get(&p.server.closed), 0);
	CHECK_INT(client_read(&p.client, p.server.read_ref, 0, 4096), 0);
	pair_close(&p);
}

/* the time is the user's to choose */
void test_peer_timeout_is_configurable(void)
{
	struct mortal m;
	struct client c;
	const struct transport_options hasty = {.peer_timeout_ms = 100};
	if (!mortal_open(&m) || !client_open(&c, &hasty))
		return;
	client_connect(&c, &m.server);
	mortal_fall_silent(&m);
	const struct stopwatch start = stopwatch();
	post_reads(&c, &m.server, 10);
	check_all_failed_within(&c, &start, 0, 10);
	CHECK(elapsed(&start) < DEATH_NS / 2);
	client_close(&c);
	mortal_close(&m);
}

/* a process that does not run for longer than the timeout, on a machine that does, is not dead */
void test_slow_peer_lives(void)
{
	struct mortal m;
	struct client c;
	if (!PROVIDER.processes) {
		suite_skip("a peer in this process cannot be stopped for a while");
		return;
	}
	if (!mortal_open(&m) || !client_open(&c, by_default()))
		return;
	client_connect(&c, &m.server);
	mortal_fall_silent(&m);
	post_reads(&c, &m.server, 50);
	uint64_t until = now_ns() + 1300 * NSEC_PER_MSEC;
	while (now_ns() < until && c.closed == 0)
		loop_turn(c.loop, until - now_ns(), NULL);
	CHECK_INT(c.closed, 0);
	server_run(child_continue);
	CHECK(client_wait(&c, &c.done_count, 50));
	for (unsigned i = 0; i < c.done_count; i++)
		CHECK_INT(c.done[i].status, 0);
	CHECK_INT(c.closed, 0);
	client_close(&c);
	mortal_close(&m);
}

/* Closing while a silent peer owes answers: it ends in time, what was in flight as CLOSED or as the
 * peer's death. Its device may still answer some of it: not more messages than its process has left
 * room for. */
void test_close_does_not_wait_for_the_dead(void)
{
	enum { READS = 10, ALL = 310 };
	struct mortal m;
	struct client c;
	if (!mortal_open(&m) || !client_open(&c, by_default()))
		return;
	client_connect(&c, &m.server);
	mortal_fall_silent(&m);
	const struct stopwatch start = stopwatch();
	post_reads(&c, &m.server, READS);
	for (unsigned i = READS; i < ALL; i++)
		CHECK_INT(transport_send(c.conn, "hello?", 6, i), 0);
	transport_conn_close(c.conn);
	CHECK(client_wait(&c, &c.closed, 1));
	CHECK(elapsed(&start) < DEATH_NS);
	CHECK_INT(c.closed_code, 0);
	CHECK_INT(c.done_count, ALL);
	for (unsigned i = 0; i < ALL; i++) {
		int status = c.done[i].status;
		CHECK(status == RAMET_ECLOSED || status == RAMET_EPEER ||
			(PROVIDER.device_serves && status == 0));
		CHECK(c.done[i].cookie != ALL - 1 || status != 0);
	}
	client_close(&c);
	mortal_close(&m);
}

/* a killed process is noticed at once, by the reset of its socket */
void test_killed_peer_fails_what_is_in_flight(void)
{
	if (!PROVIDER.processes) {
		suite_skip("a peer in this process cannot be killed");
		return;
	}
	struct mortal m;
	struct client c;
	if (!mortal_open(&m) || !client_open(&c, by_default()))
		return;
	client_connect(&c, &m.server);
	mortal_fall_silent(&m); /* so that the reads are in flight when it is killed */
	post_reads(&c, &m.server, 100);
	loop_turn(c.loop, 0, NULL);
	CHECK(c.done_count == 0 || PROVIDER.device_serves);
	const struct stopwatch start = stopwatch();
	mortal_close(&m);
	/* how long the kernel of another machine takes to end a process is not in our hands */
	const struct stopwatch gone = stopwatch();
	check_all_failed_within(&c, &start, 0, 100);
	CHECK(elapsed(apart() ? &gone : &start) < 300 * NSEC_PER_MSEC);
	client_close(&c);
}
