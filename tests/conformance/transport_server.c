/* The server of the transport suite's fixture; see transport_pair.h. In another process it is
 * driven by transport_apart.c, and what is here of it is its image. */
#include "tests/conformance/transport_apart.h"
#include "tests/conformance/transport_pair.h"

#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Counters */

static void counter_init(struct counter *c)
{
	pthread_condattr_t attr;
	*c = (struct counter){0};
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_mutex_init(&c->lock, NULL);
	pthread_cond_init(&c->cond, &attr);
	pthread_condattr_destroy(&attr);
}

static void counter_fini(struct counter *c)
{
	pthread_cond_destroy(&c->cond);
	pthread_mutex_destroy(&c->lock);
}

void counter_add(struct counter *c)
{
	pthread_mutex_lock(&c->lock);
	c->count++;
	pthread_cond_broadcast(&c->cond);
	pthread_mutex_unlock(&c->lock);
}

unsigned counter_get(struct counter *c)
{
	if (c->far)
		apart_wait(c, 0);
	pthread_mutex_lock(&c->lock);
	unsigned count = c->count;
	pthread_mutex_unlock(&c->lock);
	return count;
}

int counter_wait(struct counter *c, unsigned count)
{
	if (c->far) {
		apart_wait(c, count);
		return c->count >= count;
	}
	uint64_t deadline = now_ns() + WAIT_NS;
	const struct timespec ts = {
		.tv_sec = (time_t)(deadline / NSEC_PER_SEC),
		.tv_nsec = (long)(deadline % NSEC_PER_SEC),
	};
	pthread_mutex_lock(&c->lock);
	while (c->count < count && pthread_cond_timedwait(&c->cond, &c->lock, &ts) == 0)
		;
	int reached = c->count >= count;
	pthread_mutex_unlock(&c->lock);
	return reached;
}

/* The server */

struct call {
	struct loop_task task;
	struct server *server;
	void (*fn)(struct server *s);
	struct counter done;
};

static void call_run(struct loop_task *task)
{
	struct call *call = container_of(task, struct call, task);
	call->fn(call->server);
	counter_add(&call->done);
}

void server_call(struct server *s, void (*fn)(struct server *s))
{
	if (s->far) {
		apart_call(s, fn);
		return;
	}
	struct call call = {.task = {.fn = call_run}, .server = s, .fn = fn};
	counter_init(&call.done);
	loop_post(s->loop, &call.task);
	CHECK(counter_wait(&call.done, 1));
	counter_fini(&call.done);
}

void server_run(void (*fn)(void))
{
	if (apart())
		apart_run(fn);
	else
		fn();
}

static void server_nothing(struct server *s)
{
	(void)s;
}

const unsigned char *server_memory(struct server *s, size_t offset, size_t len)
{
	if (s->far)
		apart_memory(s, offset, len);
	else
		server_call(s, server_nothing); /* its writes happen before our look */
	return s->memory + offset;
}

struct counter *server_counter(struct server *s, unsigned number)
{
	struct counter *const all[SERVER_COUNTERS] = {
		&s->connected, &s->doorbells, &s->messages, &s->closed, &s->drained, &s->completed};
	return number < SERVER_COUNTERS ? all[number] : NULL;
}

static void server_on_connected(void *user, struct transport_conn *conn)
{
	struct server *s = user;
	s->conn = conn;
	counter_add(&s->connected);
}

static void server_on_complete(void *user, const struct transport_completion *completion)
{
	struct server *s = user;
	s->completed_status = completion->status;
	counter_add(&s->completed);
}

/* tests that ring write the doorbell's number to the first word of the server's memory before */
static void server_on_doorbell(void *user, struct transport_conn *conn, uint32_t imm)
{
	struct server *s = user;
	uint32_t word;
	memcpy(&word, s->memory, sizeof(word));
	s->doorbell_bad += word != imm;
	s->last_imm = imm;
	counter_add(&s->doorbells);
}

static void server_on_message(void *user, struct transport_conn *conn, const void *data, size_t len)
{
	struct server *s = user;
	memcpy(s->message, data, len);
	s->message_len = len;
	if (s->also_message)
		s->also_message(s, data, len);
	counter_add(&s->messages);
}

static void server_on_closed(void *user, struct transport_conn *conn, const struct ramet_err *err)
{
	struct server *s = user;
	s->closed_code = err->code;
	if (s->conn == conn)
		s->conn = NULL;
	counter_add(&s->closed);
}

static const struct transport_handler server_handler = {
	.on_connected = server_on_connected,
	.on_complete = server_on_complete,
	.on_doorbell = server_on_doorbell,
	.on_message = server_on_message,
	.on_closed = server_on_closed,
};

static int server_on_accept(void *user, const void *token, size_t token_len, const char *peer,
	struct transport_accept *ret)
{
	struct server *s = user;
	if (token_len != s->token_len || memcmp(token, s->token, token_len) != 0)
		return RAMET_EPERM;
	*ret = (struct transport_accept){
		.domain = s->domain, .handler = &server_handler, .user = s};
	return 0;
}

static void server_start(struct server *s)
{
	struct ramet_err err = {0};
	REQUIRE_OK(transport_open(PROVIDER.name, s->loop, &s->options, &s->transport, &err), &err);
	REQUIRE_OK(transport_domain_create(s->transport, &s->domain, &err), &err);
	REQUIRE_OK(transport_segment_add(s->domain, s->memory, SERVER_BYTES, 0, &s->readable, &err),
		&err);
	REQUIRE_OK(transport_segment_add(s->domain, s->memory, SERVER_BYTES,
			   TRANSPORT_SEGMENT_WRITE, &s->writable, &err),
		&err);
	s->read_ref = transport_segment_ref(s->readable, 0);
	s->write_ref = transport_segment_ref(s->writable, 0);
	REQUIRE_OK(transport_listen(s->transport, s->addr, server_on_accept, s, &s->listener, &err),
		&err);
	snprintf(s->addr, sizeof(s->addr), "%s", transport_listener_addr(s->listener));
}

static void server_stop(struct server *s)
{
	transport_close(s->transport);
	s->transport = NULL;
}

const unsigned char *pattern(size_t offset)
{
	static unsigned char bytes[SERVER_BYTES];
	if (bytes[1] == 0) { /* the first caller is the test's only thread then */
		for (size_t i = 0; i < SERVER_BYTES; i++)
			bytes[i] = (unsigned char)(i * 7 + (i >> 8) * 13 + (i >> 16));
	}
	return bytes + offset;
}

int pattern_matches(const unsigned char *data, size_t offset, size_t len)
{
	return memcmp(data, pattern(offset), len) == 0;
}

/* in this process */
static int server_begin(struct server *s, const char *addr, const struct transport_options *options)
{
	struct ramet_err err = {0};
	s->options = provider_options(options);
	snprintf(s->addr, sizeof(s->addr), "%s", addr);
	memcpy(s->token, "let me in", 9);
	s->token_len = 9;
	memcpy(s->memory, pattern(0), SERVER_BYTES);
	if (!suite_check_ok(loop_thread_start("server", &s->thread, &err), &err, "server thread",
		    __FILE__, __LINE__))
		return 0;
	s->loop = loop_thread_loop(s->thread);
	server_call(s, server_start);
	return s->listener != NULL;
}

int server_open(struct server *s, const char *addr, const struct transport_options *options)
{
	memset(s, 0, sizeof(*s));
	for (unsigned i = 0; i < SERVER_COUNTERS; i++)
		counter_init(server_counter(s, i));
	s->memory = malloc(SERVER_BYTES);
	if (!CHECK(s->memory != NULL))
		return 0;
	return apart() ? apart_open(s, addr, options) : server_begin(s, addr, options);
}

void server_close(struct server *s)
{
	if (s->far)
		apart_close(s);
	if (s->thread) {
		server_call(s, server_stop);
		loop_thread_stop(s->thread);
	}
	free(s->memory);
	for (unsigned i = 0; i < SERVER_COUNTERS; i++)
		counter_fini(server_counter(s, i));
}
