/* What the hosts and clones of fake_spawn.c say and do: see fake_spawn.h. */
#include "tests/cluster_node/fake_process.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/frame.h"
#include "base/list.h"
#include "base/wire.h"
#include "runtime/host_proto.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LIMITS ((struct wire_limits){.bytes = HOST_MAX_FRAME, .depth = 6, .items = 4096})

atomic_bool fake_capture_fails;
_Atomic uint64_t fake_capture_class;
atomic_bool fake_capture_waits;
atomic_uint fake_captures_waiting;
sem_t fake_capture_go;

/* --- what processes say --- */

static void say(struct fake_process *p, struct buf *b, const int *fds, unsigned nfds)
{
	if (p->conn && wire_end(b, NULL) == 0)
		(void)frame_send(p->conn, b->data, b->len, fds, nfds);
	buf_fini(b);
}

static void say_error(
	struct fake_process *p, const char *type, const char *code, const char *message)
{
	struct buf b = {0};
	wire_map(&b, 2);
	wire_kstr(&b, "t", type);
	wire_key(&b, "error");
	wire_map(&b, 5);
	wire_kstr(&b, "code", code);
	wire_kstr(&b, "kind", "user");
	wire_kstr(&b, "type", "ValueError");
	wire_kstr(&b, "message", message);
	wire_kstr(&b, "traceback", "line 1\nline 2");
	say(p, &b, NULL, 0);
}

static void say_result(struct fake_process *p, uint64_t id, const void *data, size_t len)
{
	struct buf b = {0};
	wire_map(&b, 7);
	wire_kstr(&b, "t", "result");
	wire_kuint(&b, "id", id);
	wire_kbool(&b, "ok", true);
	wire_kbin(&b, "data", len ? data : "", len);
	wire_kbool(&b, "binary", false);
	wire_kuint(&b, "begin", now_ns() - 1000);
	wire_kuint(&b, "end", now_ns());
	say(p, &b, NULL, 0);
}

static void say_chunk(struct fake_process *p, uint64_t id, const void *chunk, size_t len)
{
	struct buf b = {0};
	wire_map(&b, 4);
	wire_kstr(&b, "t", "event");
	wire_kuint(&b, "id", id);
	wire_kbin(&b, "chunk", chunk, len);
	wire_kbool(&b, "binary", false);
	say(p, &b, NULL, 0);
}

static void say_progress(struct fake_process *p, uint64_t id, uint64_t millionths, const char *text)
{
	struct buf b = {0};
	wire_map(&b, 4);
	wire_kstr(&b, "t", "event");
	wire_kuint(&b, "id", id);
	wire_kuint(&b, "progress", millionths);
	wire_kstr(&b, "text", text);
	say(p, &b, NULL, 0);
}

/* what an honest host never says; how: the input */
static void say_bad_event(struct fake_process *p, const char *how, size_t len)
{
	static char bytes[HOST_EVENT_MAX + 1];
	memset(bytes, 'x', sizeof(bytes));
	bytes[HOST_EVENT_TEXT_MAX + 1] = '\0';
	if (len == 5 && memcmp(how, "large", 5) == 0)
		say_chunk(p, p->call, bytes, sizeof(bytes));
	else if (len == 4 && memcmp(how, "text", 4) == 0)
		say_progress(p, p->call, 1, bytes);
	else if (len == 4 && memcmp(how, "more", 4) == 0)
		say_progress(p, p->call, 1000001, "");
	else if (len == 5 && memcmp(how, "other", 5) == 0)
		say_chunk(p, p->call + 1, "1", 1);
	else
		for (unsigned i = 0; i < 5; i++) /* which is more than may be open */
			say_chunk(p, p->call, bytes, HOST_EVENT_MAX);
}

/* a result with up to three bytes changed */
static void say_noise(struct fake_process *p, uint64_t id)
{
	static unsigned seed = 1;
	struct buf b = {0};
	wire_map(&b, 5);
	wire_kstr(&b, "t", "result");
	wire_kuint(&b, "id", id);
	wire_kbool(&b, "ok", true);
	wire_kbin(&b, "data", "42", 2);
	wire_kuint(&b, "begin", now_ns());
	for (unsigned i = 0; i < 3; i++) {
		seed = seed * 1103515245u + 12345u;
		b.data[(seed >> 8) % b.len] ^= (unsigned char)(seed >> 24);
	}
	say(p, &b, NULL, 0);
}

static void say_failure(struct fake_process *p, uint64_t id, const char *code)
{
	struct buf b = {0};
	wire_map(&b, 4);
	wire_kstr(&b, "t", "result");
	wire_kuint(&b, "id", id);
	wire_kbool(&b, "ok", false);
	wire_key(&b, "error");
	wire_map(&b, 6);
	wire_kstr(&b, "code", code);
	wire_kstr(&b, "kind", "user");
	wire_kstr(&b, "type", "ValueError");
	wire_kstr(&b, "message", "it said no");
	wire_kstr(&b, "traceback", "line 1\nline 2");
	wire_kbool(&b, "retryable", true);
	say(p, &b, NULL, 0);
}

static void say_plain(struct fake_process *p, const char *type)
{
	struct buf b = {0};
	wire_map(&b, 2);
	wire_kstr(&b, "t", type);
	wire_kuint(&b, "us", 7);
	say(p, &b, NULL, 0);
}

static void say_captured(struct fake_process *p)
{
	struct buf b = {0};
	int fds[2];
	if (pipe2(fds, O_CLOEXEC) < 0)
		abort();
	wire_map(&b, 3);
	wire_kstr(&b, "t", "captured");
	wire_kuint(&b, "state", 0x1000);
	wire_kuint(&b, "stall", 350000);
	say(p, &b, fds, 2);
	close(fds[0]);
	close(fds[1]);
}

/* --- their ends --- */

void fake_process_free(struct fake_process *p)
{
	loop_timer_cancel(&p->deadline);
	frame_conn_close(p->conn);
	close(p->log_fd);
	list_remove(&p->link);
	free(p);
}

void fake_process_end(struct fake_process *p, int status, int signal)
{
	if (p->ending)
		return;
	p->ending = true;
	struct fake_job *job = fake_job_new(p->client, FAKE_EXIT);
	job->inst = p->inst;
	job->how = (struct spawn_exit){.status = signal ? -1 : status, .signal = signal};
}

void fake_process_release(struct fake_process *p)
{
	if (p->held)
		say_result(p, p->held, "\"held\"", 6);
	p->held = 0;
}

/* --- calls --- */

static void at_deadline(struct loop_timer *timer)
{
	struct fake_process *p = container_of(timer, struct fake_process, deadline);
	say_failure(p, p->call, "EDEADLINE");
}

static void die_of_signal(struct fake_process *p)
{
	struct buf b = {0};
	wire_map(&b, 4);
	wire_kstr(&b, "t", "crash");
	wire_kuint(&b, "signal", SIGSEGV);
	wire_kint(&b, "code", 1);
	wire_kuint(&b, "address", 0xdead0);
	say(p, &b, NULL, 0);
	if (write(p->log_fd, "about to crash\n", 15) != 15)
		abort();
	fake_process_end(p, 0, SIGSEGV);
}

static void do_call(struct fake_process *p, const struct wire_value *body)
{
	char fn[65];
	const void *data = NULL;
	size_t len = 0;
	uint64_t deadline = 0;
	const struct wire_value *ctx = NULL;
	if (wire_get_uint(body, "id", UINT64_MAX, &p->call, NULL) < 0 ||
		wire_get_str(body, "fn", fn, sizeof(fn), NULL) < 0 ||
		wire_get_bin(body, "data", &data, &len, NULL) < 0 ||
		wire_get_map(body, "ctx", &ctx, NULL) < 0 ||
		wire_get_uint(ctx, "deadline", UINT64_MAX, &deadline, NULL) < 0)
		abort();
	if (strcmp(fn, "echo") == 0) {
		say_result(p, p->call, data, len);
	} else if (strcmp(fn, "print") == 0) {
		if (write(p->log_fd, "hello\n", 6) != 6)
			abort();
		say_result(p, p->call, data, len);
	} else if (strcmp(fn, "emit") == 0) {
		say_chunk(p, p->call, data, len);
		say_progress(p, p->call, 500000, "half");
		say_chunk(p, p->call, data, len);
		say_result(p, p->call, data, len);
	} else if (strcmp(fn, "bademit") == 0) {
		say_bad_event(p, data, len);
	} else if (strcmp(fn, "fail") == 0) {
		say_failure(p, p->call, "EUSER");
	} else if (strcmp(fn, "claim") == 0) {
		say_failure(p, p->call, "ELOST");
	} else if (strcmp(fn, "polite") == 0) {
		(void)loop_timer_set(p->client->fake->loop, &p->deadline, deadline, at_deadline);
	} else if (strcmp(fn, "crash") == 0) {
		die_of_signal(p);
	} else if (strcmp(fn, "die") == 0) {
		fake_process_end(p, 0, SIGKILL);
	} else if (strcmp(fn, "leave") == 0) {
		fake_process_end(p, 3, 0);
	} else if (strcmp(fn, "garbage") == 0) {
		(void)frame_send(p->conn, "\xc1\xff", 2, NULL, 0);
	} else if (strcmp(fn, "other") == 0) {
		say_result(p, p->call + 17, data, len);
	} else if (strcmp(fn, "noise") == 0) {
		say_noise(p, p->call);
	} else if (strcmp(fn, "hold") == 0) {
		p->held = p->call;
	} else if (strcmp(fn, "big") == 0) {
		auto_free char *big = calloc(1, 100000);
		say_result(p, p->call, big, 100000);
	}
}

static void on_frame(void *user, const unsigned char *data, size_t len, int *fds, unsigned nfds)
{
	struct fake_process *p = user;
	struct fake *fake = p->client->fake;
	struct wire_msg *msg = NULL;
	char type[16];
	uint64_t taken = 0;
	(void)fds;
	(void)nfds;
	if (p->ending)
		return;
	if (wire_parse(data, len, LIMITS, &msg, NULL) < 0 ||
		wire_get_str(wire_root(msg), "t", type, sizeof(type), NULL) < 0)
		abort();
	if (strcmp(type, "load") == 0) {
		fake->loads++;
		if (fake->unsuitable)
			say_error(p, "failed", "EREFUSED", "its files begin otherwise");
		else if (fake->fail_load)
			say_error(p, "failed", "EUSER", "no module named nothing");
		else
			say_plain(p, "loaded");
		fake->unsuitable = false;
	} else if (strcmp(type, "base") == 0) {
		say_plain(p, "based");
	} else if (strcmp(type, "capture") == 0) {
		fake->captured = p->inst;
		fake_capture_fails = fake->bad_capture;
		fake_capture_class = fake->class_id;
		if (fake->refuse_capture || fake->unsuitable)
			say_error(p, "refused", "EREFUSED", "descriptor 5 is a connected socket");
		else
			say_captured(p);
	} else if (strcmp(type, "call") == 0) {
		do_call(p, wire_root(msg));
	} else if (strcmp(type, "taken") == 0) {
		if (wire_get_uint(wire_root(msg), "bytes", UINT64_MAX, &taken, NULL) < 0)
			abort();
		fake->taken += (unsigned)taken;
	} else if (strcmp(type, "exit") == 0) {
		fake_process_end(p, 0, 0);
	}
	wire_free(msg);
}

static void on_closed(void *user, const struct ramet_err *err)
{
	struct fake_process *p = user;
	(void)err;
	frame_conn_close(steal_ptr(&p->conn));
}

static const struct frame_handler handler = {on_frame, on_closed};

void fake_process_begin(struct fake_process *p)
{
	struct fake *fake = p->client->fake;
	if (p->host && !fake->no_ready) {
		say_plain(p, "ready");
	} else if (!p->host && !fake->no_started) {
		struct buf b = {0};
		wire_map(&b, 3);
		wire_kstr(&b, "t", "started");
		wire_kuint(&b, "first", now_ns());
		wire_kuint(&b, "hooks", now_ns());
		say(p, &b, NULL, 0);
	}
}

int fake_process_new(struct spawn_client *client, uint64_t inst, bool host, int control, int log)
{
	struct fake_process *p = calloc(1, sizeof(*p));
	if (!p)
		abort();
	p->client = client;
	p->inst = inst;
	p->host = host;
	p->log_fd = dup(log);
	if (frame_conn_create(client->fake->loop, dup(control), HOST_MAX_FRAME, 2 * HOST_MAX_FRAME,
		    &handler, p, &p->conn, NULL) < 0)
		abort();
	list_append(&client->processes, &p->link);
	client->fake->alive++;
	if (client->fake->alive > client->fake->max_alive)
		client->fake->max_alive = client->fake->alive;
	return 0;
}
