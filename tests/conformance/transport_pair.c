/* The fixture of the transport suite; see transport_pair.h. */
#include "tests/conformance/transport_pair.h"

#include "base/clock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <glob.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct provider provider_mem = {
	.name = "mem",
	.addr = "mem:suite",
	.nobody = "mem:nobody",
};
const struct provider provider_tcp = {
	.name = "tcp",
	.addr = "127.0.0.1:0",
	.nobody = "127.0.0.1:1",
	.processes = true,
	.stream = true,
	.patience_ms = 10000,
};

/* of the first RDMA device's network interface */
static char verbs_addr[TRANSPORT_ADDR_MAX], verbs_nobody[TRANSPORT_ADDR_MAX];
const struct provider provider_verbs = {
	.name = "verbs",
	.addr = verbs_addr,
	.nobody = verbs_nobody,
	.processes = true,
	.device_serves = true,
	.patience_ms = 10000,
};

/* the interface behind an RDMA device; false: none */
static bool rdma_interface(char *name, size_t size)
{
	glob_t found = {0};
	bool ok = false;
	if (glob("/sys/class/infiniband/*/ports/1/gid_attrs/ndevs/0", 0, NULL, &found) == 0) {
		FILE *file = fopen(found.gl_pathv[0], "re");
		ok = file && fgets(name, (int)size, file) != NULL;
		if (file)
			fclose(file);
		name[strcspn(name, "\n")] = '\0';
	}
	globfree(&found);
	return ok;
}

static bool verbs_find(void)
{
	char name[64], host[INET_ADDRSTRLEN] = "";
	struct ifaddrs *all = NULL;
	if (!rdma_interface(name, sizeof(name)) || getifaddrs(&all) < 0)
		return false;
	for (const struct ifaddrs *at = all; at; at = at->ifa_next) {
		if (!at->ifa_addr || at->ifa_addr->sa_family != AF_INET ||
			strcmp(at->ifa_name, name) != 0)
			continue;
		const struct sockaddr_in *in = (const struct sockaddr_in *)(void *)at->ifa_addr;
		inet_ntop(AF_INET, &in->sin_addr, host, sizeof(host));
	}
	freeifaddrs(all);
	snprintf(verbs_addr, sizeof(verbs_addr), "%s:0", host);
	snprintf(verbs_nobody, sizeof(verbs_nobody), "%s:1", host);
	return host[0] != '\0';
}

/* librdmacm keeps the device open for the rest of the process: before descriptors are counted */
static void verbs_warm_up(void)
{
	struct loop *loop = NULL;
	struct transport *transport = NULL;
	struct ramet_err err = {0};
	if (loop_create(&loop, &err) == 0 &&
		transport_open("verbs", loop, NULL, &transport, &err) == 0)
		transport_close(transport);
	else
		printf("%s\n", err.msg);
	loop_destroy(loop);
}

bool provider_find(const struct provider *provider)
{
	if (provider != &provider_verbs)
		return true;
	if (verbs_find()) {
		verbs_warm_up();
		return true;
	}
	suite_skip("no RDMA device with an IPv4 address here");
	return false;
}

static struct transport_options options_fill(const struct transport_options *options)
{
	struct transport_options o = options ? *options : (struct transport_options){0};
	if (o.peer_timeout_ms == 0)
		o.peer_timeout_ms = PROVIDER.patience_ms;
	if (o.handshake_ms == 0)
		o.handshake_ms = PROVIDER.patience_ms;
	return o;
}

/* Counters */

static void counter_init(struct counter *c)
{
	pthread_condattr_t attr;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_mutex_init(&c->lock, NULL);
	pthread_cond_init(&c->cond, &attr);
	pthread_condattr_destroy(&attr);
	c->count = 0;
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
	pthread_mutex_lock(&c->lock);
	unsigned count = c->count;
	pthread_mutex_unlock(&c->lock);
	return count;
}

int counter_wait(struct counter *c, unsigned count)
{
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
	struct call call = {.task = {.fn = call_run}, .server = s, .fn = fn};
	counter_init(&call.done);
	loop_post(s->loop, &call.task);
	CHECK(counter_wait(&call.done, 1));
	counter_fini(&call.done);
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
	*ret = (struct transport_accept){s->domain, &server_handler, s};
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

int server_open(struct server *s, const char *addr, const struct transport_options *options)
{
	struct ramet_err err = {0};
	memset(s, 0, sizeof(*s));
	struct counter *counters[] = {
		&s->connected, &s->doorbells, &s->messages, &s->closed, &s->drained, &s->completed};
	for (size_t i = 0; i < ARRAY_LEN(counters); i++)
		counter_init(counters[i]);
	s->options = options_fill(options);
	snprintf(s->addr, sizeof(s->addr), "%s", addr);
	memcpy(s->token, "let me in", 9);
	s->token_len = 9;
	s->memory = malloc(SERVER_BYTES);
	if (!CHECK(s->memory != NULL))
		return 0;
	memcpy(s->memory, pattern(0), SERVER_BYTES);
	if (!suite_check_ok(loop_thread_start("server", &s->thread, &err), &err, "server thread",
		    __FILE__, __LINE__))
		return 0;
	s->loop = loop_thread_loop(s->thread);
	server_call(s, server_start);
	return s->listener != NULL;
}

void server_close(struct server *s)
{
	if (s->thread) {
		server_call(s, server_stop);
		loop_thread_stop(s->thread);
	}
	free(s->memory);
	struct counter *counters[] = {
		&s->connected, &s->doorbells, &s->messages, &s->closed, &s->drained, &s->completed};
	for (size_t i = 0; i < ARRAY_LEN(counters); i++)
		counter_fini(counters[i]);
}

/* The client */

static void client_on_connected(void *user, struct transport_conn *conn)
{
	struct client *c = user;
	c->connected++;
}

static void client_on_complete(void *user, const struct transport_completion *completion)
{
	struct client *c = user;
	c->done[c->done_count % COMPLETIONS_MAX] = *completion;
	c->done_count++;
	if (c->also)
		c->also(c, completion);
}

static void client_on_doorbell(void *user, struct transport_conn *conn, uint32_t imm)
{
	struct client *c = user;
	c->doorbells++;
}

static void client_on_message(void *user, struct transport_conn *conn, const void *data, size_t len)
{
	struct client *c = user;
	c->messages++;
}

static void client_on_closed(void *user, struct transport_conn *conn, const struct ramet_err *err)
{
	struct client *c = user;
	c->closed++;
	c->closed_code = err->code;
	if (c->conn == conn)
		c->conn = NULL;
}

const struct transport_handler client_handler = {
	.on_connected = client_on_connected,
	.on_complete = client_on_complete,
	.on_doorbell = client_on_doorbell,
	.on_message = client_on_message,
	.on_closed = client_on_closed,
};

int client_open(struct client *c, const struct transport_options *options)
{
	struct ramet_err err = {0};
	memset(c, 0, sizeof(*c));
	c->memory = malloc(CLIENT_BYTES);
	CHECK(c->memory != NULL);
	if (!c->memory)
		return 0;
	memset(c->memory, GUARD, CLIENT_BYTES);
	const struct transport_options filled = options_fill(options);
	int rc = loop_create(&c->loop, &err);
	if (rc == 0)
		rc = transport_open(PROVIDER.name, c->loop, &filled, &c->transport, &err);
	if (rc == 0)
		rc = transport_domain_create(c->transport, &c->domain, &err);
	if (rc == 0)
		rc = transport_segment_add(c->domain, c->memory, CLIENT_BYTES,
			TRANSPORT_SEGMENT_LOCAL, &c->local, &err);
	return suite_check_ok(rc, &err, "client_open", __FILE__, __LINE__);
}

void client_close(struct client *c)
{
	transport_close(c->transport);
	loop_destroy(c->loop);
	free(c->memory);
}

void client_connect(struct client *c, const struct server *s)
{
	struct ramet_err err = {0};
	unsigned before = c->connected + c->closed;
	REQUIRE_OK(transport_connect(c->domain, s->addr, s->token, s->token_len, &client_handler, c,
			   &c->conn, &err),
		&err);
	uint64_t deadline = now_ns() + WAIT_NS;
	while (c->connected + c->closed == before && now_ns() < deadline)
		REQUIRE_OK(loop_turn(c->loop, NSEC_PER_SEC, &err), &err);
	CHECK_INT(c->connected + c->closed, before + 1);
}

struct segment_ref ref_at(struct segment_ref ref, uint64_t offset)
{
	ref.offset += offset;
	return ref;
}

int client_wait(struct client *c, const unsigned *count, unsigned target)
{
	struct ramet_err err = {0};
	uint64_t deadline = now_ns() + WAIT_NS;
	while (*count < target && now_ns() < deadline) {
		if (loop_turn(c->loop, NSEC_PER_SEC, &err) < 0)
			return 0;
	}
	return *count >= target;
}

static int client_result(struct client *c, int rc)
{
	if (rc < 0)
		return rc;
	unsigned target = c->done_count + transport_conn_inflight(c->conn);
	if (!CHECK(client_wait(c, &c->done_count, target)))
		return RAMET_EINTERNAL;
	return c->done[(c->done_count - 1) % COMPLETIONS_MAX].status;
}

int client_read(struct client *c, struct segment_ref ref, size_t at, size_t len)
{
	return client_result(c, transport_read(c->conn, ref, c->local, c->memory + at, len, at));
}

int client_write(struct client *c, struct segment_ref ref, size_t at, size_t len)
{
	return client_result(c, transport_write(c->conn, ref, c->local, c->memory + at, len, at));
}

/* Both */

int pair_open(struct pair *p, const struct transport_options *options)
{
	memset(p, 0, sizeof(*p));
	p->fds = suite_count_fds();
	if (!server_open(&p->server, PROVIDER.addr, options) || !client_open(&p->client, options))
		return 0;
	client_connect(&p->client, &p->server);
	p->ok = p->client.connected == 1 && counter_wait(&p->server.connected, 1);
	return CHECK(p->ok);
}

int pair_wait(struct pair *p, struct counter *counter, unsigned count)
{
	struct ramet_err err = {0};
	uint64_t deadline = now_ns() + WAIT_NS;
	while (counter_get(counter) < count && now_ns() < deadline) {
		if (loop_turn(p->client.loop, NSEC_PER_MSEC, &err) < 0)
			return 0;
	}
	return counter_get(counter) >= count;
}

void pair_close(struct pair *p)
{
	client_close(&p->client);
	server_close(&p->server);
	CHECK_INT(suite_count_fds(), p->fds);
}

static uint64_t waited_for_processor(void)
{
	unsigned long long waited = 0;
	FILE *f = fopen("/proc/thread-self/schedstat", "re");
	if (f) { /* else the kernel does not count */
		CHECK_INT(fscanf(f, "%*u %llu", &waited), 1);
		fclose(f);
	}
	return waited;
}

struct stopwatch stopwatch(void)
{
	return (struct stopwatch){now_ns(), waited_for_processor()};
}

uint64_t elapsed(const struct stopwatch *watch)
{
	uint64_t waited = waited_for_processor() - watch->waited_ns;
	uint64_t passed = now_ns() - watch->start_ns;
	return passed > waited ? passed - waited : 0;
}
