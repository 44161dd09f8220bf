/* What the fake rametd answers: one function for each request of cluster/client_proto.h. */
#include "tests/libramet/fake_answers.h"

#include "base/frame.h"
#include "cluster/client_proto.h"

#include <string.h>

static void begin(struct buf *b, const struct message *to, const char *type, uint32_t pairs)
{
	message_begin(b, type, to->req, pairs);
}

static bool send_buf(const struct fake_answers *a, struct buf *b)
{
	bool ok = wire_end(b, NULL) == 0 &&
		frame_write(a->fd, b->data, b->len, NULL, 0, 0, NULL) == 0;
	buf_fini(b);
	return ok;
}

static bool empty(const struct fake_answers *a, const struct message *to, const char *type)
{
	struct buf b = {0};
	begin(&b, to, type, 0);
	return send_buf(a, &b);
}

static bool send_error(
	const struct fake_answers *a, const struct message *to, const char *code, const char *text)
{
	struct buf b = {0};
	begin(&b, to, "error", 1);
	wire_key(&b, "error");
	wire_map(&b, 2);
	wire_kstr(&b, "code", code);
	wire_kstr(&b, "message", text);
	return send_buf(a, &b);
}

static void pack_times(struct buf *b)
{
	wire_key(b, "ns");
	wire_map(b, 5);
	wire_kuint(b, "queue", 1000);
	wire_kuint(b, "start", 88500);
	wire_kuint(b, "first_instruction", 88000);
	wire_kuint(b, "run", 2500000);
	wire_kuint(b, "total", 3000000);
}

/* the nine pairs that all results have */
static void pack_result(struct buf *b, const struct fake_answers *a, const char *function,
	const void *output, size_t len)
{
	wire_kstr(b, "function", function);
	wire_kstr(b, "version", "0123456789abcdef");
	wire_kuint(b, "node", a->node + 1);
	wire_kuint(b, "instance", 7);
	wire_kuint(b, "pid", 4242);
	wire_kstr(b, "start", "remote-fork");
	wire_kuint(b, "source_node", a->node);
	wire_kbin(b, "output", output, len);
	pack_times(b);
}
#define RESULT_PAIRS 9

static bool send_accepted(struct fake_answers *a, const struct message *to)
{
	struct buf b = {0};
	char id[24];
	snprintf(id, sizeof(id), "%u.%u", a->node, ++a->calls);
	begin(&b, to, "accepted", 1);
	wire_kstr(&b, "call", id);
	return send_buf(a, &b);
}

static bool send_result(struct fake_answers *a, const struct message *to, const char *function,
	const void *output, size_t len)
{
	struct buf b = {0};
	begin(&b, to, "result", RESULT_PAIRS);
	pack_result(&b, a, function, output, len);
	return send_buf(a, &b);
}

static bool send_failed(struct fake_answers *a, const struct message *to, const char *function,
	const char *code, int64_t sig)
{
	struct buf b = {0};
	begin(&b, to, "result", RESULT_PAIRS + 1);
	pack_result(&b, a, function, "", 0);
	wire_key(&b, "error");
	wire_map(&b, 7);
	wire_kstr(&b, "code", code);
	wire_kstr(&b, "type", sig ? "" : "ValueError");
	wire_kstr(&b, "message", sig ? "" : "no luck");
	wire_kstr(&b, "traceback", sig ? "" : "Traceback (most recent call last):\n  line 1\n");
	wire_kint(&b, "signal", sig);
	wire_kuint(&b, "fault_address", sig ? 0x10 : 0);
	wire_kbin(&b, "log_tail", "last words\n", 11);
	return send_buf(a, &b);
}

static bool send_garbage(const struct fake_answers *a)
{
	static const unsigned char garbage[] = {0xc1, 0xff, 0x00, 0x93};
	return frame_write(a->fd, garbage, sizeof(garbage), NULL, 0, 0, NULL) == 0;
}

static bool send_wrong(const struct fake_answers *a, const struct message *to)
{
	struct buf b = {0};
	begin(&b, to, "result", 2);
	wire_kstr(&b, "function", "wrong");
	wire_kstr(&b, "node", "three");
	return send_buf(a, &b);
}

#define FLOOD_CHUNK 65536
#define FLOOD_CHUNKS 192

static bool send_chunk(struct fake_answers *a, uint64_t req, const void *chunk, size_t len)
{
	const struct message to = {.req = req};
	struct buf b = {0};
	begin(&b, &to, "event", 2);
	wire_kbin(&b, "chunk", chunk, len);
	wire_kbool(&b, "binary", false);
	return send_buf(a, &b);
}

static bool send_progress(struct fake_answers *a, const struct message *to, uint64_t millionths)
{
	struct buf b = {0};
	begin(&b, to, "event", 2);
	wire_kuint(&b, "progress", millionths);
	wire_kstr(&b, "text", "halfway");
	return send_buf(a, &b);
}

/* what may be open, and no more */
static bool go_on_flooding(struct fake_answers *a)
{
	static const char chunk[FLOOD_CHUNK] = "1";
	const uint64_t weight = FLOOD_CHUNK + CLIENT_EVENT_WEIGHT;
	const struct message to = {.req = a->flood};
	while (a->flood && a->chunks > 0 && a->untaken + weight <= CLIENT_EVENT_WINDOW) {
		if (!send_chunk(a, a->flood, chunk, sizeof(chunk)))
			return false;
		a->untaken += weight;
		a->chunks--;
	}
	if (!a->flood || a->chunks > 0)
		return true;
	a->flood = 0;
	return send_result(a, &to, "flood", "null", 4);
}

static bool on_taken(struct fake_answers *a, const struct message *m)
{
	uint64_t weight = 0;
	if (wire_get_uint(m->root, "weight", a->untaken, &weight, NULL) < 0)
		return false; /* more than there was, too */
	a->untaken -= weight;
	return empty(a, m, "taken") && go_on_flooding(a);
}

static bool keep_slow(struct fake_answers *a, const struct message *to)
{
	for (unsigned i = 0; i < FAKE_MAX_SLOW; i++) {
		if (a->slow[i] == 0) {
			a->slow[i] = to->req;
			return true;
		}
	}
	return false;
}

static bool on_call(struct fake_answers *a, const struct message *m)
{
	char name[CLIENT_NAME_MAX + 1];
	const void *data;
	size_t len;
	if (wire_get_str(m->root, "name", name, sizeof(name), NULL) < 0 ||
		wire_get_bin(m->root, "data", &data, &len, NULL) < 0)
		return false;
	if (strcmp(name, "missing") == 0)
		return send_error(a, m, "ENOTFOUND", "no function \"missing\"");
	if (!send_accepted(a, m))
		return false;
	if (strcmp(name, "slow") == 0)
		return keep_slow(a, m);
	if (strcmp(name, "emit") == 0)
		return send_chunk(a, m->req, data, len) && send_progress(a, m, 500000) &&
			send_chunk(a, m->req, data, len) && send_result(a, m, name, "null", 4);
	if (strcmp(name, "badevent") == 0)
		return send_progress(a, m, 1000001) && keep_slow(a, m);
	if (strcmp(name, "flood") == 0) {
		a->flood = m->req;
		a->chunks = FLOOD_CHUNKS;
		return go_on_flooding(a);
	}
	if (strcmp(name, "drop") == 0)
		return false;
	if (strcmp(name, "garbage") == 0)
		return send_garbage(a);
	if (strcmp(name, "wrong") == 0)
		return send_wrong(a, m);
	if (strcmp(name, "raise") == 0)
		return send_failed(a, m, name, "EUSER", 0);
	if (strcmp(name, "crash") == 0)
		return send_failed(a, m, name, "ECRASH", 11);
	if (strcmp(name, "killed") == 0)
		return send_failed(a, m, name, "ELOST", 9);
	return send_result(a, m, name, data, len);
}

static bool on_burst(struct fake_answers *a, const struct message *m)
{
	uint64_t n;
	char name[CLIENT_NAME_MAX + 1];
	if (wire_get_uint(m->root, "n", CLIENT_MAX_BURST, &n, NULL) < 0 ||
		wire_get_str(m->root, "name", name, sizeof(name), NULL) < 0)
		return false;
	if (strcmp(name, "missing") == 0)
		return send_error(a, m, "ENOTFOUND", "no function \"missing\"");
	bool ok = send_accepted(a, m);
	for (uint64_t i = n; ok && i-- > 0;) { /* the last rank first */
		struct buf b = {0};
		bool failed = strcmp(name, "raise") == 0 && i == 1;
		begin(&b, m, "result", RESULT_PAIRS + 2 + failed);
		pack_result(&b, a, name, "1", 1);
		wire_kuint(&b, "rank", i);
		wire_kuint(&b, "size", n);
		if (failed) {
			wire_key(&b, "error");
			wire_map(&b, 2);
			wire_kstr(&b, "code", "EUSER");
			wire_kstr(&b, "message", "rank one fails");
		}
		ok = send_buf(a, &b);
	}
	struct buf b = {0};
	begin(&b, m, "summary", 4);
	wire_kuint(&b, "n", n);
	wire_kuint(&b, "remote_fork", n);
	wire_kuint(&b, "nodes", 1);
	wire_kuint(&b, "total", 5000000);
	return ok && send_buf(a, &b);
}

static bool on_deploy(struct fake_answers *a, const struct message *m)
{
	const struct wire_value *functions;
	uint32_t count;
	char name[CLIENT_NAME_MAX + 1];
	if (wire_get_array(m->root, "functions", &functions, &count, NULL) < 0 || count != 1 ||
		wire_get_str(wire_at(functions, 0), "name", name, sizeof(name), NULL) < 0)
		return false;
	struct buf b = {0};
	begin(&b, m, "progress", 3);
	wire_kstr(&b, "stage", "load");
	wire_kstr(&b, "text", "importing");
	wire_kdouble(&b, "fraction", 0.5);
	if (!send_buf(a, &b))
		return false;
	if (strcmp(name, "raise") == 0) {
		begin(&b, m, "error", 1);
		wire_key(&b, "error");
		wire_map(&b, 4);
		wire_kstr(&b, "code", "EUSER");
		wire_kstr(&b, "type", "ImportError");
		wire_kstr(&b, "message", "no module named x");
		wire_kstr(&b, "traceback", "Traceback (most recent call last):\n");
		return send_buf(a, &b);
	}
	begin(&b, m, "deployed", 8);
	wire_kstr(&b, "function", name);
	wire_kstr(&b, "version", "0123456789abcdef");
	wire_kuint(&b, "node", a->node);
	wire_kstr(&b, "start", "cold");
	pack_times(&b);
	wire_kuint(&b, "capture_ns", 12000000);
	wire_kuint(&b, "stall_ns", 400000);
	wire_kuint(&b, "image_bytes", 17u << 20);
	return send_buf(a, &b);
}

static bool on_cancel(struct fake_answers *a, const struct message *m)
{
	uint64_t of = 0;
	if (wire_has(m->root, "call"))
		return empty(a, m, "cancelled");
	if (wire_get_uint(m->root, "of", UINT64_MAX, &of, NULL) < 0)
		return false;
	for (unsigned i = 0; i < FAKE_MAX_SLOW; i++) {
		if (a->slow[i] != of)
			continue;
		a->slow[i] = 0;
		const struct message call = {.req = of};
		return empty(a, m, "cancelled") && send_failed(a, &call, "slow", "ECANCELED", 0);
	}
	return send_error(a, m, "ENOTFOUND", "no such request");
}

static bool on_wait(struct fake_answers *a, const struct message *m)
{
	char id[CLIENT_CALL_MAX + 1];
	if (wire_get_str(m->root, "call", id, sizeof(id), NULL) < 0)
		return false;
	if (strcmp(id, "1.1") != 0)
		return send_error(a, m, "ENOTFOUND", "no such call");
	return send_result(a, m, "echo", "\"waited\"", 8);
}

static bool on_list(struct fake_answers *a, const struct message *m)
{
	struct buf b = {0};
	begin(&b, m, "rows", 2);
	wire_key(&b, "rows");
	wire_array(&b, 2);
	for (unsigned i = 1; i <= 2; i++) {
		wire_map(&b, 5);
		wire_kuint(&b, "node", i);
		wire_kuint(&b, "source_node", i - 1);
		wire_kstr(&b, "state", i == 1 ? "up" : "down");
		wire_kuint(&b, "mem", 3ull << 30);
		wire_kstr(&b, "unknown", "ignored");
	}
	wire_key(&b, "silent");
	wire_array(&b, 1);
	wire_uint(&b, 3);
	return send_buf(a, &b);
}

static bool on_logs(struct fake_answers *a, const struct message *m)
{
	struct buf b = {0};
	begin(&b, m, "log", 6);
	wire_kuint(&b, "node", 1);
	wire_kuint(&b, "instance", 7);
	wire_kstr(&b, "function", "echo");
	wire_kstr(&b, "stream", "out");
	wire_kuint(&b, "time", 1700000000000000000u);
	wire_kbin(&b, "data", "one\ntwo\n", 8);
	if (!send_buf(a, &b))
		return false;
	begin(&b, m, "end", 1);
	wire_kuint(&b, "lost", 0);
	return send_buf(a, &b);
}

static bool on_doctor(struct fake_answers *a, const struct message *m)
{
	struct buf b = {0};
	begin(&b, m, "checks", 1);
	wire_key(&b, "checks");
	wire_array(&b, 1);
	wire_map(&b, 3);
	wire_kuint(&b, "node", 1);
	wire_kstr(&b, "name", "pager");
	wire_kstr(&b, "state", "ok");
	return send_buf(a, &b);
}

static bool on_hello(struct fake_answers *a, const struct message *m)
{
	struct buf b = {0};
	begin(&b, m, "welcome", 7);
	wire_kuint(&b, "proto", CLIENT_PROTO);
	wire_kstr(&b, "version", "0.1.0");
	wire_kuint(&b, "node", a->node);
	wire_kuint(&b, "uid", getuid());
	wire_kuint(&b, "nodes", 2);
	wire_kuint(&b, "expected", 3);
	wire_kuint(&b, "pid", (uint64_t)getpid());
	return send_buf(a, &b);
}

static bool on_ready(struct fake_answers *a, const struct message *m)
{
	struct buf b = {0};
	begin(&b, m, "ready", 1);
	wire_kuint(&b, "nodes", 2);
	return send_buf(a, &b);
}

static bool on_remove(struct fake_answers *a, const struct message *m)
{
	char name[CLIENT_NAME_MAX + 1];
	if (wire_get_str(m->root, "name", name, sizeof(name), NULL) < 0)
		return false;
	if (strcmp(name, "missing") == 0)
		return send_error(a, m, "ENOTFOUND", "no function \"missing\"");
	return empty(a, m, "removed");
}

static bool on_shutdown(struct fake_answers *a, const struct message *m)
{
	return empty(a, m, "closing");
}

bool fake_answer(struct fake_answers *a, const struct message *message)
{
	static const struct {
		const char *type;
		bool (*fn)(struct fake_answers *a, const struct message *m);
	} handlers[] = {
		{"hello", on_hello},
		{"ready", on_ready},
		{"deploy", on_deploy},
		{"remove", on_remove},
		{"call", on_call},
		{"burst", on_burst},
		{"taken", on_taken},
		{"cancel", on_cancel},
		{"wait", on_wait},
		{"list", on_list},
		{"logs", on_logs},
		{"doctor", on_doctor},
		{"shutdown", on_shutdown},
	};
	for (size_t i = 0; i < ARRAY_LEN(handlers); i++)
		if (message_is(message, handlers[i].type))
			return handlers[i].fn(a, message);
	return send_error(a, message, "EPROTO", "unknown type");
}
