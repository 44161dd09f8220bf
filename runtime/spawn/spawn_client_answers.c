/* Answers and events of ramet-spawn. What it says is checked; a message that cannot be understood
 * ends the connection, because what it made could not be known. */
#include "runtime/spawn/spawn_client.h"
#include "runtime/spawn/spawn_client_internal.h"

#include <stdlib.h>
#include <string.h>

static void result_fini(struct spawn_result *result)
{
	close_reset(&result->uffd);
}

static void complete(const struct pending *pending, struct spawn_result *result)
{
	if (pending->done)
		pending->done(pending->user, result);
}

void spawn_client_fail_all(struct spawn_client *client, const struct ramet_err *why)
{
	uint32_t bucket = 0;
	struct idmap_node *node;
	while ((node = idmap_any(&client->unwanted, &bucket))) {
		idmap_remove(&client->unwanted, node);
		free(idmap_entry(node, struct unwanted, node));
	}
	bucket = 0;
	while ((node = idmap_any(&client->pending, &bucket))) {
		struct pending *pending = idmap_entry(node, struct pending, node);
		struct spawn_result result = {.uffd = -1};
		idmap_remove(&client->pending, node);
		if (why) {
			err_copy(&result.err, why);
			complete(pending, &result);
		}
		free(pending);
	}
}

/* Nobody waits for what was made: it is ended, and an instance's exit will not be told. */
static int end_unwanted(
	struct spawn_client *client, const struct pending *pending, struct ramet_err *err)
{
	if (pending->kind == PENDING_TEMPLATE)
		spawn_drop(client, pending->subject);
	if (pending->kind == PENDING_VIEW)
		spawn_unview(client, pending->subject);
	if (pending->kind != PENDING_HOST && pending->kind != PENDING_CLONE)
		return 0;
	struct unwanted *unwanted = malloc(sizeof(*unwanted));
	if (!unwanted)
		return err_nomem(err);
	idmap_add(&client->unwanted, &unwanted->node, pending->subject);
	spawn_kill(client, pending->subject);
	return 0;
}

struct answer {
	const struct wire_value *body;
	int *fds;
	unsigned nfds;
};

static int take_pid(const struct answer *answer, struct spawn_result *result, struct ramet_err *err)
{
	uint64_t pid;
	int rc = wire_get_uint(answer->body, "pid", INT32_MAX, &pid, err);
	if (rc < 0)
		return rc;
	if (pid == 0)
		return err_set(err, RAMET_EPROTO, "an instance without a process");
	result->pid = (pid_t)pid;
	return 0;
}

static int read_started(
	const struct answer *answer, struct spawn_result *result, struct ramet_err *err)
{
	return take_pid(answer, result, err);
}

static int read_cloned(
	const struct answer *answer, struct spawn_result *result, struct ramet_err *err)
{
	uint64_t us;
	int rc = wire_get_uint(answer->body, "us_sandbox", UINT32_MAX, &us, err);
	if (rc == 0)
		rc = wire_get_uint(answer->body, "begin", UINT64_MAX, &result->begin_ns, err);
	if (rc == 0)
		rc = take_pid(answer, result, err);
	if (rc < 0)
		return rc;
	result->us_sandbox = (uint32_t)us;
	if (answer->nfds > 0)
		result->uffd = steal_fd(&answer->fds[0]);
	return 0;
}

static int read_viewed(
	const struct answer *answer, struct spawn_result *result, struct ramet_err *err)
{
	(void)answer, (void)result, (void)err;
	return 0;
}

static int read_built(
	const struct answer *answer, struct spawn_result *result, struct ramet_err *err)
{
	uint64_t us;
	int rc = wire_get_uint(answer->body, "us", UINT32_MAX, &us, err);
	if (rc == 0)
		result->us = (uint32_t)us;
	return rc;
}

static int read_stats(
	const struct answer *answer, struct spawn_result *result, struct ramet_err *err)
{
	int rc = wire_get_uint(answer->body, "sandboxes", UINT32_MAX, &result->sandboxes, err);
	if (rc == 0)
		rc = wire_get_uint(answer->body, "templates", UINT32_MAX, &result->templates, err);
	if (rc == 0)
		rc = wire_get_uint(answer->body, "instances", UINT32_MAX, &result->instances, err);
	return rc;
}

static int read_error(
	const struct answer *answer, struct spawn_result *result, struct ramet_err *err)
{
	int rc = wire_get_err(answer->body, "error", &result->err, err);
	if (rc == 0 && result->err.code == 0)
		return err_set(err, RAMET_EPROTO, "an error without a code");
	return rc;
}

static int on_answer(struct spawn_client *client, const struct answer *answer,
	enum pending_kind kind, bool any_kind,
	int (*read)(const struct answer *, struct spawn_result *, struct ramet_err *),
	struct ramet_err *err)
{
	uint64_t req;
	int rc = wire_get_uint(answer->body, "req", UINT64_MAX, &req, err);
	if (rc < 0)
		return rc;
	struct idmap_node *node = idmap_find(&client->pending, req);
	struct pending *pending = node ? idmap_entry(node, struct pending, node) : NULL;
	if (!pending || (!any_kind && pending->kind != kind))
		return err_set(err, RAMET_EPROTO, "an answer to no such request: %llu",
			(unsigned long long)req);
	CLEANUP(result_fini) struct spawn_result result = {.uffd = -1};
	rc = read(answer, &result, err);
	if (rc < 0)
		return rc;
	idmap_remove(&client->pending, node);
	if (!pending->done && result.err.code == 0)
		rc = end_unwanted(client, pending, err);
	complete(pending, &result);
	free(pending);
	return rc;
}

/* --- events --- */

static int take_limit(
	const struct wire_value *body, enum spawn_limit *ret_limit, struct ramet_err *err)
{
	static const char *const names[] = {[SPAWN_LIMIT_NONE] = "",
		[SPAWN_LIMIT_MEMORY] = "memory",
		[SPAWN_LIMIT_PIDS] = "pids",
		[SPAWN_LIMIT_TENANT_MEMORY] = "tenant.memory",
		[SPAWN_LIMIT_TENANT_PIDS] = "tenant.pids"};
	char name[16];
	int rc = wire_get_str_or(body, "limit", "", name, sizeof(name), err);
	for (unsigned i = 0; rc == 0 && i < ARRAY_LEN(names); i++) {
		if (strcmp(names[i], name) != 0)
			continue;
		*ret_limit = (enum spawn_limit)i;
		return 0;
	}
	return rc < 0 ? rc : err_set(err, RAMET_EPROTO, "an unknown limit");
}

static int on_exited(
	struct spawn_client *client, const struct answer *answer, struct ramet_err *err)
{
	struct spawn_exit how = {0};
	uint64_t inst = 0, signal = 0;
	int64_t status = 0;
	int rc = wire_get_uint(answer->body, "inst", UINT64_MAX, &inst, err);
	if (rc == 0)
		rc = wire_get_int(answer->body, "status", &status, err);
	if (rc == 0)
		rc = wire_get_uint(answer->body, "signal", 128, &signal, err);
	if (rc == 0)
		rc = wire_get_bool_or(answer->body, "core", false, &how.core, err);
	if (rc == 0)
		rc = wire_get_bool_or(answer->body, "alone", false, &how.alone, err);
	if (rc == 0)
		rc = take_limit(answer->body, &how.limit, err);
	if (rc == 0)
		rc = wire_get_uint_or(answer->body, "utime_us", UINT64_MAX, 0, &how.utime_us, err);
	if (rc == 0)
		rc = wire_get_uint_or(answer->body, "stime_us", UINT64_MAX, 0, &how.stime_us, err);
	if (rc == 0)
		rc = wire_get_uint_or(
			answer->body, "maxrss_kb", UINT64_MAX, 0, &how.maxrss_kb, err);
	if (rc == 0 && (status < -1 || status > 255))
		rc = err_set(err, RAMET_EPROTO, "an exit status out of range");
	if (rc < 0)
		return rc;
	how.status = (int)status;
	how.signal = (int)signal;
	struct idmap_node *node = idmap_find(&client->unwanted, inst);
	if (node) {
		idmap_remove(&client->unwanted, node);
		free(idmap_entry(node, struct unwanted, node));
	} else if (client->handler) {
		client->handler->on_exited(client->user, inst, &how);
	}
	return 0;
}

static int on_gone(struct spawn_client *client, const struct answer *answer, struct ramet_err *err)
{
	uint64_t tmpl;
	struct ramet_err why = {0};
	int rc = wire_get_uint(answer->body, "tmpl", UINT64_MAX, &tmpl, err);
	if (rc == 0)
		rc = wire_get_err(answer->body, "error", &why, err);
	if (rc == 0 && client->handler)
		client->handler->on_gone(client->user, tmpl, &why);
	return rc;
}

static int dispatch(struct spawn_client *client, const struct answer *answer, struct ramet_err *err)
{
	char type[16];
	int rc = wire_get_str(answer->body, "t", type, sizeof(type), err);
	if (rc < 0)
		return rc;
	if (strcmp(type, "cloned") == 0)
		return on_answer(client, answer, PENDING_CLONE, false, read_cloned, err);
	if (strcmp(type, "exited") == 0)
		return on_exited(client, answer, err);
	if (strcmp(type, "started") == 0)
		return on_answer(client, answer, PENDING_HOST, false, read_started, err);
	if (strcmp(type, "viewed") == 0)
		return on_answer(client, answer, PENDING_VIEW, false, read_viewed, err);
	if (strcmp(type, "built") == 0)
		return on_answer(client, answer, PENDING_TEMPLATE, false, read_built, err);
	if (strcmp(type, "stats") == 0)
		return on_answer(client, answer, PENDING_STATS, false, read_stats, err);
	if (strcmp(type, "error") == 0)
		return on_answer(client, answer, PENDING_STATS, true, read_error, err);
	if (strcmp(type, "gone") == 0)
		return on_gone(client, answer, err);
	return err_set(err, RAMET_EPROTO, "unknown message '%s'", type);
}

void spawn_client_on_frame(
	void *user, const unsigned char *data, size_t len, int *fds, unsigned nfds)
{
	struct spawn_client *client = user;
	struct ramet_err err = {0};
	struct wire_msg *msg = NULL;
	int rc = wire_parse(data, len, WIRE_LIMITS_CONTROL, &msg, &err);
	if (rc == 0) {
		struct answer answer = {wire_root(msg), fds, nfds};
		rc = dispatch(client, &answer, &err);
	}
	wire_free(msg);
	if (rc < 0) {
		(void)err_prefix(&err, "ramet-spawn");
		spawn_client_lost(client, &err);
	}
}
