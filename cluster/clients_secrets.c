/* Requests about secrets: setting and removing them, here and at all peers, and what there is. */
#include "cluster/clients_internal.h"

#include "base/cleanup.h"
#include "cluster/client_proto.h"
#include "cluster/gather.h"
#include "cluster/node.h"
#include "cluster/secrets.h"

#include <stdlib.h>
#include <string.h>

struct change {
	struct client_request request; /* first */
	struct gather *gather;
};

static void change_free(struct client_request *request)
{
	struct change *change = container_of(request, struct change, request);
	gather_cancel(change->gather);
	free(change);
}

static const struct client_request_ops change_ops = {
	.abandon = client_request_end, .free = change_free};

static int on_told(void *user, uint32_t node, const struct wire_value *body)
{
	(void)user;
	(void)node;
	(void)body;
	return 0;
}

static void on_told_all(void *user, const uint32_t *silent, unsigned nsilent)
{
	struct change *change = user;
	struct buf b = {0};
	(void)silent;
	change->gather = NULL;
	client_message(&b, "done", change->request.req, 1);
	wire_kuint(&b, "silent", nsilent); /* they learn it when they are back */
	client_request_answer(&change->request, &b);
}

static const struct gather_handler change_handler = {.on_answer = on_told, .on_done = on_told_all};

static int get_names(const struct wire_value *body, char *name, char *app, struct ramet_err *err)
{
	int rc = wire_get_str(body, "name", name, CLIENT_NAME_MAX + 1, err);
	if (rc == 0)
		rc = wire_get_str_or(body, "app", "", app, CLIENT_NAME_MAX + 1, err);
	if (rc == 0 && (!app_name_valid(name) || (app[0] && !app_name_valid(app))))
		rc = err_set(err, RAMET_EINVAL,
			"secrets and apps have names of 1 to %u letters, digits, _ . -",
			CLIENT_NAME_MAX);
	return rc;
}

static int begin_change(struct client *client, uint64_t req, const struct wire_value *body,
	const void *value, size_t len, struct ramet_err *err)
{
	struct node *node = client->clients->node;
	struct client_request *request;
	char name[CLIENT_NAME_MAX + 1], app[CLIENT_NAME_MAX + 1];
	CLEANUP(secrets_wipe) struct buf news = {0};
	int rc = get_names(body, name, app, err);
	if (rc == 0)
		rc = client_request_begin(
			client, req, sizeof(struct change), &change_ops, &request, err);
	if (rc != 0)
		return rc;
	const struct secrets_change what = {client->uid, app, name, value, len};
	struct change *change = container_of(request, struct change, request);
	rc = secrets_change(node->secrets, &what, &news, err);
	if (rc == 0)
		rc = gather_start(
			node, 0, "secrets", &news, &change_handler, change, &change->gather, err);
	if (rc < 0)
		client_request_end(request);
	return rc;
}

int clients_on_secret_set(
	struct client *client, uint64_t req, const struct wire_value *body, struct ramet_err *err)
{
	const void *value = NULL;
	size_t len = 0;
	int rc = wire_get_bin(body, "value", &value, &len, err);
	if (rc < 0)
		return rc;
	if (len > CLIENT_MAX_SECRET)
		rc = err_set(err, RAMET_ELIMIT, "a secret has at most %u bytes", CLIENT_MAX_SECRET);
	else
		rc = begin_change(client, req, body, value, len, err);
	explicit_bzero((void *)(uintptr_t)value, len); /* in the frame, which is ours */
	return rc;
}

int clients_on_secret_remove(
	struct client *client, uint64_t req, const struct wire_value *body, struct ramet_err *err)
{
	return begin_change(client, req, body, NULL, 0, err);
}

static bool visible(const struct secret *secret, const struct client *client)
{
	return client->uid == 0 || secret->uid == client->uid;
}

int clients_on_secret_list(
	struct client *client, uint64_t req, const struct wire_value *body, struct ramet_err *err)
{
	const struct secrets *secrets = client->clients->node->secrets;
	const struct secret *s = NULL;
	struct buf b = {0};
	uint32_t count = 0;
	(void)body;
	(void)err;
	while ((s = secrets_next(secrets, s)))
		count += visible(s, client);
	client_message(&b, "secrets", req, 1);
	wire_key(&b, "rows");
	wire_array(&b, count);
	while ((s = secrets_next(secrets, s))) {
		if (!visible(s, client))
			continue;
		wire_map(&b, 5);
		wire_kstr(&b, "name", s->name);
		wire_kstr(&b, "app", s->app);
		wire_kuint(&b, "uid", s->uid);
		wire_kuint(&b, "bytes", s->len);
		wire_kuint(&b, "changed_ms", s->time_ms);
	}
	client_send(client, &b);
	return 0;
}
