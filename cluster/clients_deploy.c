/* Requests that change what is deployed: deploy, remove.
 *
 * deploy: check and pack (on a worker) → install the bundle → initialise and capture, here or on
 * the node asked for → publish in the registry, here and at all peers → answer. It goes on when its
 * client leaves. */
#include "cluster/clients_internal.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "cluster/bundle.h"
#include "cluster/client_proto.h"
#include "cluster/deploy_peer.h"
#include "cluster/gather.h"
#include "cluster/node.h"
#include "cluster/registry.h"
#include "cluster/seeds.h"
#include "cluster/versions.h"
#include "cluster/workers.h"

#include <stdlib.h>
#include <string.h>

struct deploy {
	struct client_request request; /* first */
	struct work work;
	uint64_t begin_ns;
	uint32_t node; /* where it is initialised */
	gid_t gid;
	struct buf message; /* the client's, copied: packing takes a while */
	struct buf archive;
	struct app_version *version;
	struct ramet_err error; /* of the worker */
	struct seed_making *making;
	struct deploy_peer *peer;
	struct bundle_fetch *install;
	struct gather *publish;
	struct seed_made made; /* without its error */
	bool working; /* a worker has it */
	bool gone; /* the daemon ends: only the worker's job is left */
};

static void deploy_free(struct client_request *request)
{
	struct deploy *deploy = container_of(request, struct deploy, request);
	if (deploy->working) { /* its worker frees it */
		deploy->gone = true;
		return;
	}
	deploy_peer_forget(deploy->peer);
	bundle_fetch_forget(deploy->install);
	gather_cancel(deploy->publish);
	app_version_put(deploy->version);
	buf_fini(&deploy->message);
	buf_fini(&deploy->archive);
	free(deploy);
}

static int deploy_cancel(struct client_request *request, struct ramet_err *err)
{
	struct deploy *deploy = container_of(request, struct deploy, request);
	if (deploy->making && seeds_make_cancel(deploy->making) == 0)
		return 0;
	if (deploy->peer) {
		deploy_peer_cancel(deploy->peer);
		return 0;
	}
	return err_set(
		err, RAMET_EAGAIN, "the deployment is past the point where it can be cancelled");
}

static void deploy_abandon(struct client_request *request)
{
}

static const struct client_request_ops deploy_ops = {
	.cancel = deploy_cancel,
	.abandon = deploy_abandon, /* a deployment goes on */
	.free = deploy_free,
};

static void tell_progress(
	struct deploy *deploy, const char *stage, const char *text, double fraction)
{
	struct buf b = {0};
	client_message(&b, "progress", deploy->request.req, 3);
	wire_kstr(&b, "stage", stage);
	wire_kstr(&b, "text", text);
	wire_kdouble(&b, "fraction", fraction);
	client_request_tell(&deploy->request, &b);
}

static void fail(struct deploy *deploy, const struct call_error *error)
{
	log_info("deploy.failed", "app=%s version=%.12s uid=%u err=%s",
		deploy->version ? deploy->version->app : "",
		deploy->version ? deploy->version->id : "", deploy->request.uid,
		err_name(error->err.code));
	client_request_fail_with(&deploy->request, error);
}

static void fail_plain(struct deploy *deploy, const struct ramet_err *error)
{
	struct call_error full = {0};
	call_error_set(&full, error, deploy->request.clients->node->config.node);
	fail(deploy, &full);
	call_error_fini(&full);
}

/* --- the last step --- */

static void pack_deployed(struct buf *b, const struct deploy *deploy)
{
	const struct seed_made *made = &deploy->made;
	client_message(b, "deployed", deploy->request.req, 10);
	wire_kstr(b, "function", deploy->version->functions[0].name);
	wire_kstr(b, "version", deploy->version->id);
	wire_kuint(b, "node", deploy->node);
	wire_kuint(b, "instance", made->instance);
	wire_kuint(b, "pid", (uint64_t)made->pid);
	wire_kstr(b, "start", start_kind_name(made->start));
	wire_key(b, "ns");
	wire_map(b, 5);
	wire_kuint(b, "queue", 0);
	wire_kuint(b, "start", made->ready_ns);
	wire_kuint(b, "first_instruction", 0);
	wire_kuint(b, "run", made->load_ns);
	wire_kuint(b, "total", now_ns() - deploy->begin_ns);
	wire_kuint(b, "capture_ns", made->capture_ns);
	wire_kuint(b, "stall_ns", made->stall_ns);
	wire_kuint(b, "image_bytes", made->image_bytes);
}

static int on_published_there(void *user, uint32_t node, const struct wire_value *body)
{
	return 0;
}

static void on_published(void *user, const uint32_t *silent, unsigned nsilent)
{
	struct deploy *deploy = user;
	deploy->publish = NULL;
	log_info("deploy.done", "app=%s version=%.12s uid=%u node=%u image=%llu ms=%llu",
		deploy->version->app, deploy->version->id, deploy->request.uid, deploy->node,
		(unsigned long long)deploy->made.image_bytes,
		(unsigned long long)((now_ns() - deploy->begin_ns) / NSEC_PER_MSEC));
	struct buf b = {0};
	pack_deployed(&b, deploy);
	client_request_answer(&deploy->request, &b);
}

static const struct gather_handler publish_handler = {
	.on_answer = on_published_there, .on_done = on_published};

/* small bundles go to everybody at once; the others are fetched by who needs them */
static void push(struct node *node, const struct deploy *deploy)
{
	if (deploy->archive.len > BUNDLE_PUSH_MAX)
		return;
	for (unsigned i = 0; i < members_count(node->members); i++) {
		const struct member *member = members_at(node->members, i);
		if (member->alive)
			bundles_push(node->bundles, member->info.node, deploy->version->id,
				&deploy->archive);
	}
}

static void on_made(void *user, const struct seed_made *made)
{
	struct deploy *deploy = user;
	struct node *node = deploy->request.clients->node;
	struct ramet_err err = {0};
	struct buf news = {0};
	deploy->making = NULL;
	deploy->peer = NULL;
	if (made->error.err.code) {
		fail(deploy, &made->error);
		return;
	}
	deploy->made = *made;
	deploy->made.error = (struct call_error){0};
	tell_progress(deploy, "publish", "telling the other nodes", 0.95);
	push(node, deploy);
	/* they learn who has the seed before they learn of the function: nobody starts it cold
	 * again */
	seeds_publish(node->seeds);
	members_flush(node->members);
	/* who asks another node right after the answer finds the function there */
	int rc = registry_deploy(node->registry, deploy->version, &news, &err);
	if (rc == 0)
		rc = gather_start(node, 0, "registry", &news, &publish_handler, deploy,
			&deploy->publish, &err);
	buf_fini(&news);
	if (rc < 0)
		fail_plain(deploy, &err);
}

/* --- initialising --- */

static void on_stage(void *user, const char *stage, const char *text)
{
	static const struct {
		const char *stage;
		double fraction;
	} fractions[] = {{"start", 0.2}, {"load", 0.4}, {"capture", 0.8}};
	double fraction = 0.2;
	for (unsigned i = 0; i < ARRAY_LEN(fractions); i++)
		if (strcmp(fractions[i].stage, stage) == 0)
			fraction = fractions[i].fraction;
	tell_progress(user, stage, text, fraction);
}

static void on_installed(void *user, const struct ramet_err *error)
{
	struct deploy *deploy = user;
	struct node *node = deploy->request.clients->node;
	struct ramet_err err = {0};
	int rc;
	deploy->install = NULL;
	if (error) {
		fail_plain(deploy, error);
		return;
	}
	if (deploy->node == node->config.node)
		rc = seeds_make(node->seeds, deploy->version, on_stage, on_made, deploy,
			&deploy->making, &err);
	else
		rc = deploy_peer_start(node->deploys, deploy->node, deploy->version, on_stage,
			on_made, deploy, &deploy->peer, &err);
	if (rc < 0)
		fail_plain(deploy, &err);
}

/* --- receiving --- */

static void run_pack(struct work *work)
{
	const struct wire_limits limits = {
		.bytes = CLIENT_MAX_FRAME,
		.depth = CLIENT_WIRE_DEPTH,
		.items = CLIENT_WIRE_ITEMS,
	};
	struct deploy *deploy = container_of(work, struct deploy, work);
	struct wire_msg *msg = NULL;
	if (wire_parse(deploy->message.data, deploy->message.len, limits, &msg, &deploy->error) ==
		0)
		bundle_pack_deploy(wire_root(msg), deploy->request.uid, deploy->gid,
			&deploy->archive, &deploy->version, &deploy->error);
	wire_free(msg);
	buf_fini(&deploy->message);
}

static int check_supported(const struct deploy *deploy, struct ramet_err *err)
{
	const char *lang = deploy->version->lang;
	if (strcmp(lang, "python") != 0 && strcmp(lang, "native") != 0)
		return err_set(err, RAMET_ENOTSUP,
			"language %s: this rametd runs python and native", lang);
	return 0;
}

static void pack_done(struct work *work)
{
	struct deploy *deploy = container_of(work, struct deploy, work);
	struct node *node = deploy->request.clients->node;
	struct ramet_err err = {0};
	deploy->working = false;
	if (deploy->gone) {
		deploy_free(&deploy->request);
		return;
	}
	if (deploy->error.code || check_supported(deploy, &deploy->error) < 0) {
		fail_plain(deploy, &deploy->error);
		return;
	}
	/* the archive is needed again, to be sent to peers */
	struct buf copy = {0};
	buf_append(&copy, deploy->archive.data, deploy->archive.len);
	int rc = copy.oom ? err_nomem(&err)
			  : bundles_add(node->bundles, deploy->version->id, &copy, on_installed,
				    deploy, &deploy->install, &err);
	if (rc < 0) {
		buf_fini(&copy);
		fail_plain(deploy, &err);
	}
}

int clients_on_deploy(
	struct client *client, uint64_t req, const struct wire_value *body, struct ramet_err *err)
{
	struct client_request *request;
	uint32_t node = 0;
	int rc = client_get_node(client, body, &node, err);
	if (rc == 0)
		rc = client_request_begin(
			client, req, sizeof(struct deploy), &deploy_ops, &request, err);
	if (rc != 0)
		return rc;
	struct deploy *deploy = container_of(request, struct deploy, request);
	deploy->begin_ns = now_ns();
	deploy->gid = client->gid;
	deploy->node = node ? node : client->clients->node->config.node;
	buf_append(&deploy->message, client->clients->frame, client->clients->frame_len);
	if (deploy->message.oom) {
		client_request_end(request);
		return err_nomem(err);
	}
	tell_progress(deploy, "receive", "checking what is deployed", 0.1);
	deploy->work.run = run_pack;
	deploy->work.done = pack_done;
	deploy->working = true;
	workers_submit(client->clients->node->workers, &deploy->work);
	return 0;
}

/* --- remove --- */

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
