/* Deployments on behalf of other nodes' clients, and ours on other nodes: see deploy_peer.h. */
#include "cluster/deploy_peer.h"

#include "base/cleanup.h"
#include "base/list.h"
#include "cluster/bundle.h"
#include "cluster/bus.h"
#include "cluster/members.h"
#include "cluster/node.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct deploy_peers {
	struct node *node;
	struct list own, foreign;
	uint64_t sequence;
};

/* ours, on another node */
struct deploy_peer {
	struct list link;
	struct deploy_peers *peers;
	uint32_t node;
	uint64_t id, call;
	void (*progress)(void *user, const char *stage, const char *text);
	void (*done)(void *user, const struct seed_made *made);
	void *user;
};

/* another node's, here */
struct foreign {
	struct list link;
	struct deploy_peers *peers;
	struct bus_request *request;
	uint32_t node;
	uint64_t id;
	struct app_version *version;
	struct bundle_fetch *fetch;
	struct seed_making *making;
};

/* --- what is made, in messages --- */

#define MADE_PAIRS 9

static void pack_made(const struct seed_made *made, struct buf *b)
{
	wire_map(b, MADE_PAIRS);
	wire_kuint(b, "start", (uint64_t)made->start);
	wire_kuint(b, "instance", made->instance);
	wire_kuint(b, "pid", (uint64_t)made->pid);
	wire_kuint(b, "ready", made->ready_ns);
	wire_kuint(b, "load", made->load_ns);
	wire_kuint(b, "capture", made->capture_ns);
	wire_kuint(b, "stall", made->stall_ns);
	wire_kuint(b, "total", made->total_ns);
	wire_kuint(b, "image", made->image_bytes);
}

static int parse_made(const struct wire_value *map, struct seed_made *made, struct ramet_err *err)
{
	uint64_t start = 0, pid = 0;
	const struct {
		const char *key;
		uint64_t max, *dst;
	} fields[] = {
		{"start", START_KINDS - 1, &start},
		{"instance", UINT64_MAX, &made->instance},
		{"pid", INT32_MAX, &pid},
		{"ready", UINT64_MAX, &made->ready_ns},
		{"load", UINT64_MAX, &made->load_ns},
		{"capture", UINT64_MAX, &made->capture_ns},
		{"stall", UINT64_MAX, &made->stall_ns},
		{"total", UINT64_MAX, &made->total_ns},
		{"image", UINT64_MAX, &made->image_bytes},
	};
	int rc = 0;
	for (unsigned i = 0; rc == 0 && i < ARRAY_LEN(fields); i++)
		rc = wire_get_uint(map, fields[i].key, fields[i].max, fields[i].dst, err);
	made->start = (enum start_kind)start;
	made->pid = (pid_t)pid;
	return rc;
}

/* a deployment that failed answers {error: map as of calls} */
static int parse_answer(
	const struct wire_value *body, struct seed_made *made, struct ramet_err *err)
{
	const struct wire_value *error;
	if (!wire_has(body, "error"))
		return parse_made(body, made, err);
	int rc = wire_get_map(body, "error", &error, err);
	if (rc == 0)
		rc = call_error_parse(error, &made->error, err);
	if (rc == 0 && made->error.err.code == 0)
		rc = err_set(err, RAMET_EPROTO, "a deployment failed without saying why");
	return rc;
}

/* --- ours --- */

static void deploy_free(struct deploy_peer *deploy)
{
	list_remove(&deploy->link);
	free(deploy);
}

static void on_answer(void *user, const struct wire_value *body, const struct ramet_err *error)
{
	struct deploy_peer *deploy = user;
	struct seed_made made = {0};
	struct ramet_err err = {0};
	int rc = error ? error->code : parse_answer(body, &made, &err);
	if (rc < 0) {
		call_error_fini(&made.error);
		memset(&made, 0, sizeof(made));
		call_error_set(&made.error, error ? error : &err, deploy->node);
	}
	void (*done)(void *, const struct seed_made *) = deploy->done;
	void *done_user = deploy->user;
	deploy_free(deploy);
	done(done_user, &made);
	call_error_fini(&made.error);
}

int deploy_peer_start(struct deploy_peers *peers, uint32_t node, struct app_version *version,
	void (*progress)(void *user, const char *stage, const char *text),
	void (*done)(void *user, const struct seed_made *made), void *user,
	struct deploy_peer **ret_deploy, struct ramet_err *err)
{
	struct deploy_peer *deploy = calloc(1, sizeof(*deploy));
	if (!deploy)
		return err_nomem(err);
	*deploy = (struct deploy_peer){
		.peers = peers,
		.node = node,
		.id = ++peers->sequence,
		.progress = progress,
		.done = done,
		.user = user,
	};
	list_append(&peers->own, &deploy->link);
	struct buf b = {0};
	wire_map(&b, 3);
	wire_kuint(&b, "id", deploy->id);
	wire_kstr(&b, "version", version->id);
	wire_key(&b, "meta");
	app_version_pack(version, &b);
	int rc = bus_call(
		peers->node->bus, node, "deploy", &b, 0, on_answer, deploy, &deploy->call, err);
	if (rc < 0) {
		deploy_free(deploy);
		return rc;
	}
	*ret_deploy = deploy;
	return 0;
}

void deploy_peer_cancel(struct deploy_peer *deploy)
{
	struct buf b = {0};
	wire_map(&b, 1);
	wire_kuint(&b, "id", deploy->id);
	bus_notify(deploy->peers->node->bus, deploy->node, "undeploy", &b);
}

void deploy_peer_forget(struct deploy_peer *deploy)
{
	if (!deploy)
		return;
	bus_forget(deploy->peers->node->bus, deploy->call);
	deploy_free(deploy);
}

void deploy_peers_on_progress(
	struct deploy_peers *peers, struct bus_request *request, const struct wire_value *body)
{
	uint32_t node = bus_request_node(request);
	char stage[16], text[256];
	uint64_t id;
	bus_reply(request, NULL);
	if (wire_get_uint(body, "id", UINT64_MAX, &id, NULL) < 0 ||
		wire_get_str(body, "stage", stage, sizeof(stage), NULL) < 0 ||
		wire_get_str(body, "text", text, sizeof(text), NULL) < 0)
		return;
	list_for_each (deploy, &peers->own, struct deploy_peer, link) {
		if (deploy->id == id && deploy->node == node) {
			deploy->progress(deploy->user, stage, text);
			return;
		}
	}
}

/* --- others' --- */

static void foreign_free(struct foreign *foreign)
{
	list_remove(&foreign->link);
	bundle_fetch_forget(foreign->fetch);
	app_version_put(foreign->version);
	free(foreign);
}

static void foreign_fail(struct foreign *foreign, const struct call_error *error)
{
	struct buf b = {0};
	wire_map(&b, 1);
	wire_key(&b, "error");
	call_error_pack(error, &b);
	bus_reply(foreign->request, &b);
	foreign_free(foreign);
}

static void foreign_fail_plain(struct foreign *foreign, const struct ramet_err *err)
{
	struct call_error error = {0};
	call_error_set(&error, err, foreign->peers->node->config.node);
	foreign_fail(foreign, &error);
	call_error_fini(&error);
}

static void on_made(void *user, const struct seed_made *made)
{
	struct foreign *foreign = user;
	foreign->making = NULL;
	if (made->error.err.code) {
		foreign_fail(foreign, &made->error);
		return;
	}
	struct node *node = foreign->peers->node;
	seeds_publish(node->seeds); /* before the function is: see clients_deploy.c */
	members_flush(node->members);
	struct buf b = {0};
	pack_made(made, &b);
	bus_reply(foreign->request, &b);
	foreign_free(foreign);
}

static void on_stage(void *user, const char *stage, const char *text)
{
	struct foreign *foreign = user;
	struct buf b = {0};
	wire_map(&b, 3);
	wire_kuint(&b, "id", foreign->id);
	wire_kstr(&b, "stage", stage);
	wire_kstr(&b, "text", text);
	bus_notify(foreign->peers->node->bus, foreign->node, "progress", &b);
}

static void on_fetched(void *user, const struct ramet_err *error)
{
	struct foreign *foreign = user;
	struct ramet_err err = {0};
	foreign->fetch = NULL;
	if (error)
		foreign_fail_plain(foreign, error);
	else if (seeds_make(foreign->peers->node->seeds, foreign->version, on_stage, on_made,
			 foreign, &foreign->making, &err) < 0)
		foreign_fail_plain(foreign, &err);
}

static int foreign_begin(
	struct foreign *foreign, const struct wire_value *body, struct ramet_err *err)
{
	const struct wire_value *meta;
	char version[VERSION_HEX + 1];
	int rc = wire_get_uint(body, "id", UINT64_MAX, &foreign->id, err);
	if (rc == 0)
		rc = wire_get_str(body, "version", version, sizeof(version), err);
	if (rc == 0)
		rc = wire_get_map(body, "meta", &meta, err);
	if (rc == 0)
		rc = app_version_parse(meta, version, &foreign->version, err);
	if (rc == 0)
		rc = bundles_fetch(foreign->peers->node->bundles, version, &foreign->node, 1,
			on_fetched, foreign, &foreign->fetch, err);
	return rc;
}

void deploy_peers_on_deploy(
	struct deploy_peers *peers, struct bus_request *request, const struct wire_value *body)
{
	struct ramet_err err = {0};
	struct foreign *foreign = calloc(1, sizeof(*foreign));
	if (!foreign) {
		err_nomem(&err);
		bus_reply_err(request, &err);
		return;
	}
	foreign->peers = peers;
	foreign->request = request;
	foreign->node = bus_request_node(request);
	list_append(&peers->foreign, &foreign->link);
	if (foreign_begin(foreign, body, &err) < 0)
		foreign_fail_plain(foreign, &err);
}

void deploy_peers_on_undeploy(
	struct deploy_peers *peers, struct bus_request *request, const struct wire_value *body)
{
	uint32_t node = bus_request_node(request);
	uint64_t id;
	int rc = wire_get_uint(body, "id", UINT64_MAX, &id, NULL);
	bus_reply(request, NULL);
	if (rc < 0)
		return;
	list_for_each (foreign, &peers->foreign, struct foreign, link) {
		if (foreign->id != id || foreign->node != node)
			continue;
		if (foreign->making) {
			seeds_make_cancel(foreign->making);
		} else {
			struct ramet_err err = {0};
			err_set(&err, RAMET_ECANCELED, "the deployment was cancelled");
			foreign_fail_plain(foreign, &err);
		}
		return;
	}
}

/* --- making and ending --- */

int deploy_peers_create(struct node *node, struct deploy_peers **ret_peers, struct ramet_err *err)
{
	struct deploy_peers *peers = calloc(1, sizeof(*peers));
	if (!peers)
		return err_nomem(err);
	peers->node = node;
	list_init(&peers->own);
	list_init(&peers->foreign);
	*ret_peers = peers;
	return 0;
}

void deploy_peers_destroy(struct deploy_peers *peers)
{
	if (!peers)
		return;
	struct ramet_err err = {0};
	err_set(&err, RAMET_ECLOSED, "node %u is shutting down", peers->node->config.node);
	list_for_each_safe (deploy, &peers->own, struct deploy_peer, link)
		deploy_peer_forget(deploy);
	list_for_each_safe (foreign, &peers->foreign, struct foreign, link)
		foreign_fail_plain(foreign, &err);
	free(peers);
}
