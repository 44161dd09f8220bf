/* Requests and their answers. What ramet-spawn says is checked; an answer that cannot be understood
 * ends the connection, because what it made could not be known. */
#include "rfork/template.h"
#include "runtime/spawn/spawn_client.h"
#include "runtime/spawn/spawn_client_internal.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* --- sending --- */

static struct buf *begin(struct spawn_client *client, const char *type, uint32_t pairs)
{
	buf_reset(&client->out);
	wire_map(&client->out, pairs + 1);
	wire_kstr(&client->out, "t", type);
	return &client->out;
}

static int send_message(
	struct spawn_client *client, const int *fds, unsigned nfds, struct ramet_err *err)
{
	if (!client->conn)
		return err_set(err, RAMET_ECLOSED, "ramet-spawn has ended");
	int rc = wire_end(&client->out, err);
	if (rc < 0)
		return rc;
	rc = frame_send(client->conn, client->out.data, client->out.len, fds, nfds);
	return rc < 0 ? err_set(err, rc, "request to ramet-spawn: %s", err_text(rc)) : 0;
}

/* begin() with its number; finished by submit() */
static struct buf *begin_request(struct spawn_client *client, const char *type, uint32_t pairs)
{
	struct buf *b = begin(client, type, pairs + 1);
	wire_kuint(b, "req", client->next_req);
	return b;
}

static int submit(struct spawn_client *client, const struct pending *what, const int *fds,
	unsigned nfds, uint64_t *ret_req, struct ramet_err *err)
{
	struct pending *pending = malloc(sizeof(*pending));
	if (!pending)
		return err_nomem(err);
	*pending = *what;
	int rc = send_message(client, fds, nfds, err);
	if (rc < 0) {
		free(pending);
		return rc;
	}
	uint64_t req = client->next_req++;
	idmap_add(&client->pending, &pending->node, req);
	if (ret_req)
		*ret_req = req;
	return 0;
}

static void put_strings(struct buf *b, const char *key, const char *const *strings, uint32_t count)
{
	wire_key(b, key);
	wire_array(b, count);
	for (uint32_t i = 0; i < count; i++)
		wire_str(b, strings[i]);
}

static uint32_t count_strings(const char *const *strings)
{
	uint32_t count = 0;
	while (strings && strings[count])
		count++;
	return count;
}

/* three pairs */
static void put_membership(struct buf *b, const struct spawn_tenant *tenant, const char *group,
	const struct spawn_limits *limits)
{
	wire_key(b, "tenant");
	wire_map(b, 3);
	wire_kuint(b, "uid", tenant->uid);
	wire_kuint(b, "gid", tenant->gid);
	wire_kstr(b, "name", tenant->name);
	wire_kstr(b, "group", group);
	wire_key(b, "limits");
	wire_map(b, 3);
	wire_kuint(b, "mem", limits->mem);
	wire_kuint(b, "pids", limits->pids);
	wire_kuint(b, "cpu", limits->cpu);
}

int spawn_host(struct spawn_client *client, const struct spawn_host *host, SPAWN_DONE(done),
	void *user, uint64_t *ret_req, struct ramet_err *err)
{
	const int fds[] = {host->control_fd, host->log_fd};
	const struct pending pending = {
		.kind = PENDING_HOST, .subject = host->inst, .done = done, .user = user};
	if (!host->argv || !host->argv[0] || host->argv[0][0] != '/')
		return err_set(err, RAMET_EINVAL, "a host's argv[0] is not an absolute path");
	struct buf *b = begin_request(client, "host", 7);
	wire_kuint(b, "inst", host->inst);
	put_strings(b, "argv", host->argv, count_strings(host->argv));
	put_strings(b, "env", host->env, count_strings(host->env));
	wire_kstr(b, "dir", host->dir);
	put_membership(b, &host->tenant, host->group, &host->limits);
	return submit(client, &pending, fds, 2, ret_req, err);
}

int spawn_template(struct spawn_client *client, const struct spawn_template *tmpl, SPAWN_DONE(done),
	void *user, uint64_t *ret_req, struct ramet_err *err)
{
	const int fds[] = {tmpl->desc_fd, tmpl->image_fd};
	const struct pending pending = {
		.kind = PENDING_TEMPLATE, .subject = tmpl->tmpl, .done = done, .user = user};
	struct buf *b = begin_request(client, "template", 9);
	wire_kuint(b, "tmpl", tmpl->tmpl);
	put_strings(b, "files", tmpl->files, tmpl->nfiles);
	put_membership(b, &tmpl->tenant, tmpl->group, &tmpl->limits);
	wire_kbool(b, "uffd", tmpl->uffd);
	wire_kbool(b, "record", tmpl->record);
	wire_kint(b, "mono_offset", tmpl->mono_offset_ns);
	wire_kint(b, "boot_offset", tmpl->boot_offset_ns);
	return submit(client, &pending, fds, 2, ret_req, err);
}

int spawn_clone(struct spawn_client *client, const struct spawn_clone *clone, SPAWN_DONE(done),
	void *user, uint64_t *ret_req, struct ramet_err *err)
{
	const int fds[] = {clone->control_fd, clone->log_fd};
	const struct pending pending = {
		.kind = PENDING_CLONE, .subject = clone->inst, .done = done, .user = user};
	if (clone->npopulate > TEMPLATE_MAX_POPULATE)
		return err_set(err, RAMET_EINVAL, "%u ranges to populate", clone->npopulate);
	struct buf *b = begin_request(client, "clone", clone->npopulate ? 3 : 2);
	wire_kuint(b, "tmpl", clone->tmpl);
	wire_kuint(b, "inst", clone->inst);
	if (clone->npopulate) {
		wire_key(b, "populate");
		wire_array(b, 2 * clone->npopulate);
		for (uint32_t i = 0; i < 2 * clone->npopulate; i++)
			wire_uint(b, clone->populate[i]);
	}
	return submit(client, &pending, fds, 2, ret_req, err);
}

int spawn_stats(struct spawn_client *client, SPAWN_DONE(done), void *user, uint64_t *ret_req,
	struct ramet_err *err)
{
	const struct pending pending = {.kind = PENDING_STATS, .done = done, .user = user};
	(void)begin_request(client, "stats", 0);
	return submit(client, &pending, NULL, 0, ret_req, err);
}

/* one-way; if it cannot be sent, the connection is about to be lost anyway, or memory is out: then
 * it ends now */
static void tell(struct spawn_client *client, const char *type, const char *key, uint64_t value)
{
	struct ramet_err err = {0};
	struct buf *b = begin(client, type, 1);
	wire_kuint(b, key, value);
	if (client->conn && send_message(client, NULL, 0, &err) < 0 && err.code != RAMET_ECLOSED)
		shutdown(frame_fd(client->conn), SHUT_RDWR);
}

void spawn_kill(struct spawn_client *client, uint64_t inst)
{
	tell(client, "kill", "inst", inst);
}

void spawn_drop(struct spawn_client *client, uint64_t tmpl)
{
	tell(client, "drop", "tmpl", tmpl);
}

void spawn_forget(struct spawn_client *client, uint64_t req)
{
	struct idmap_node *node = idmap_find(&client->pending, req);
	if (node)
		idmap_entry(node, struct pending, node)->done = NULL;
}

/* --- answers --- */

static void result_fini(struct spawn_result *result)
{
	close_reset(&result->pidfd);
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
		struct spawn_result result = {.pidfd = -1, .uffd = -1};
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
	if (answer->nfds < 1 || pid == 0)
		return err_set(err, RAMET_EPROTO, "an instance without a process");
	result->pid = (pid_t)pid;
	result->pidfd = steal_fd(&answer->fds[0]);
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
	if (answer->nfds > 1)
		result->uffd = steal_fd(&answer->fds[1]);
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
	CLEANUP(result_fini) struct spawn_result result = {.pidfd = -1, .uffd = -1};
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

static int on_exited(
	struct spawn_client *client, const struct answer *answer, struct ramet_err *err)
{
	struct spawn_exit how = {0};
	uint64_t inst, signal;
	int64_t status;
	int rc = wire_get_uint(answer->body, "inst", UINT64_MAX, &inst, err);
	if (rc == 0)
		rc = wire_get_int(answer->body, "status", &status, err);
	if (rc == 0)
		rc = wire_get_uint(answer->body, "signal", 128, &signal, err);
	if (rc == 0)
		rc = wire_get_bool_or(answer->body, "core", false, &how.core, err);
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
