/* Requests to ramet-spawn: each is one message, and a record until its answer comes. */
#include "rfork/template.h"
#include "runtime/spawn/spawn_client.h"
#include "runtime/spawn/spawn_client_internal.h"
#include "runtime/spawn_proto.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

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
	if (client->out.len > SPAWN_MAX_FRAME) /* it would be ramet-spawn's end */
		return err_set(err, RAMET_ELIMIT,
			"the environment, or the names of mapped files, have %zu bytes together: "
			"%u "
			"are allowed",
			client->out.len, SPAWN_MAX_FRAME);
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

static void put_tenant(struct buf *b, const struct spawn_tenant *tenant)
{
	wire_key(b, "tenant");
	wire_map(b, 5);
	wire_kuint(b, "uid", tenant->uid);
	wire_kuint(b, "gid", tenant->gid);
	wire_kstr(b, "name", tenant->name);
	wire_kuint(b, "mem", tenant->limits.mem);
	wire_kuint(b, "pids", tenant->limits.pids);
}

/* three pairs */
static void put_membership(struct buf *b, const struct spawn_tenant *tenant, const char *group,
	const struct spawn_limits *limits)
{
	put_tenant(b, tenant);
	wire_kstr(b, "group", group);
	wire_key(b, "limits");
	wire_map(b, 4);
	wire_kbool(b, "isolates", limits->isolates);
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
	struct buf *b = begin_request(client, "host", 9);
	wire_kuint(b, "inst", host->inst);
	put_strings(b, "argv", host->argv, count_strings(host->argv));
	put_strings(b, "env", host->env, count_strings(host->env));
	wire_kstr(b, "dir", host->dir);
	put_membership(b, &host->tenant, host->group, &host->limits);
	wire_kuint(b, "view", host->view);
	wire_kbool(b, "bare", host->bare);
	return submit(client, &pending, fds, 2, ret_req, err);
}

int spawn_template(struct spawn_client *client, const struct spawn_template *tmpl, SPAWN_DONE(done),
	void *user, uint64_t *ret_req, struct ramet_err *err)
{
	const int fds[] = {tmpl->desc_fd, tmpl->image_fd, tmpl->base_fd};
	const struct pending pending = {
		.kind = PENDING_TEMPLATE, .subject = tmpl->tmpl, .done = done, .user = user};
	struct buf *b = begin_request(client, "template", 10);
	wire_kuint(b, "tmpl", tmpl->tmpl);
	put_strings(b, "files", tmpl->files, tmpl->nfiles);
	put_membership(b, &tmpl->tenant, tmpl->group, &tmpl->limits);
	wire_kbool(b, "uffd", tmpl->uffd);
	wire_kbool(b, "record", tmpl->record);
	wire_kint(b, "mono_offset", tmpl->mono_offset_ns);
	wire_kint(b, "boot_offset", tmpl->boot_offset_ns);
	wire_kuint(b, "view", tmpl->view);
	return submit(client, &pending, fds, tmpl->layered ? 3 : 2, ret_req, err);
}

int spawn_clone(struct spawn_client *client, const struct spawn_clone *clone, SPAWN_DONE(done),
	void *user, uint64_t *ret_req, struct ramet_err *err)
{
	const int fds[] = {clone->control_fd, clone->log_fd};
	const struct pending pending = {
		.kind = PENDING_CLONE, .subject = clone->inst, .done = done, .user = user};
	if (clone->npopulate > TEMPLATE_MAX_POPULATE)
		return err_set(err, RAMET_EINVAL, "%u ranges to populate", clone->npopulate);
	struct buf *b =
		begin_request(client, "clone", 2u + (clone->npopulate > 0) + clone->ask_alone);
	wire_kuint(b, "tmpl", clone->tmpl);
	wire_kuint(b, "inst", clone->inst);
	if (clone->ask_alone)
		wire_kbool(b, "alone", true);
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

void spawn_interrupt(struct spawn_client *client, uint64_t inst)
{
	tell(client, "interrupt", "inst", inst);
}

int spawn_view(struct spawn_client *client, const struct spawn_view *view, SPAWN_DONE(done),
	void *user, uint64_t *ret_req, struct ramet_err *err)
{
	const int fds[] = {view->control_fd, view->manifest_fd};
	const struct pending pending = {
		.kind = PENDING_VIEW, .subject = view->view, .done = done, .user = user};
	struct buf *b = begin_request(client, "view", 3);
	wire_kuint(b, "view", view->view);
	put_tenant(b, &view->tenant);
	put_strings(b, "data", view->data, view->ndata);
	if (view->control_fd < 0)
		return submit(client, &pending, &view->dir_fd, view->dir_fd >= 0, ret_req, err);
	return submit(client, &pending, fds, 2, ret_req, err);
}

void spawn_unview(struct spawn_client *client, uint64_t view)
{
	tell(client, "unview", "view", view);
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
