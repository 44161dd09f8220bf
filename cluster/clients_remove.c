/* The request that removes a function, here and at all peers. */
#include "cluster/clients_internal.h"

#include "base/cleanup.h"
#include "cluster/gather.h"
#include "cluster/node.h"
#include "cluster/registry.h"
#include "cluster/versions.h"

#include <stdlib.h>

struct removal {
	struct client_request request; /* first */
	struct gather *gather;
	uint64_t ended; /* instances */
};

static void removal_free(struct client_request *request)
{
	struct removal *removal = container_of(request, struct removal, request);
	gather_cancel(removal->gather);
	free(removal);
}

static const struct client_request_ops removal_ops = {
	.abandon = client_request_end, .free = removal_free};

static int on_removed_there(void *user, uint32_t node, const struct wire_value *body)
{
	struct removal *removal = user;
	uint64_t ended;
	int rc = wire_get_uint_or(body, "ended", UINT32_MAX, 0, &ended, NULL);
	if (rc == 0)
		removal->ended += ended;
	return rc;
}

static void on_removed_everywhere(void *user, const uint32_t *silent, unsigned nsilent)
{
	struct removal *removal = user;
	struct buf b = {0};
	removal->gather = NULL;
	client_message(&b, "removed", removal->request.req, 1);
	wire_kuint(&b, "instances", removal->ended);
	client_request_answer(&removal->request, &b);
}

static const struct gather_handler removal_handler = {
	.on_answer = on_removed_there,
	.on_done = on_removed_everywhere,
};

int clients_on_remove(
	struct client *client, uint64_t req, const struct wire_value *body, struct ramet_err *err)
{
	struct node *node = client->clients->node;
	struct client_request *request;
	struct registry_entry *entry = NULL;
	char name[CALL_NAME_MAX];
	int rc = client_get_name(body, name, err);
	if (rc == 0)
		rc = registry_find(node->registry, client->uid, name, &entry, err);
	if (rc == 0)
		rc = client_request_begin(
			client, req, sizeof(struct removal), &removal_ops, &request, err);
	if (rc != 0)
		return rc;
	struct removal *removal = container_of(request, struct removal, request);
	struct buf news = {0};
	rc = versions_remove(node, entry, &news, &removal->ended, err);
	if (rc == 0)
		rc = gather_start(node, 0, "registry", &news, &removal_handler, removal,
			&removal->gather, err);
	buf_fini(&news);
	if (rc < 0)
		client_request_end(request);
	return rc;
}
