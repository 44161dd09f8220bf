/* Requests that change what is deployed: deploy, rollback.
 *
 * deploy: check and pack (on a worker) → install the bundle → initialise and capture, here or on
 * the node asked for → publish in the registry, here and at all peers → answer. It goes on when its
 * client leaves. rollback begins with the bundle of a version that was there before. */
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
#include "cluster/seeds_command.h"
#include "cluster/versions.h"
#include "cluster/workers.h"

#include <limits.h>
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
	struct app_version *base; /* what the app has, to be merged with; NULL: nothing */
	char base_path[NODE_PATH_MAX + 128]; /* of its archive */
	struct app_version *version;
	struct ramet_err error; /* of the worker */
	struct seed_making *making;
	struct deploy_peer *peer;
	struct bundle_fetch *install;
	struct gather *publish;
	struct seed_made made; /* without its error */
	bool rollback;
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
	app_version_put(deploy->base);
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
	if (deploy->archive.len > BUNDLE_PUSH_MAX || deploy->rollback)
		return;
	for (unsigned i = 0; i < members_count(node->members); i++) {
		const struct member *member = members_at(node->members, i);
		if (member->alive)
			bundles_push(node->bundles, member->info.node, deploy->version->id,
				&deploy->archive);
	}
}

/* the version of an app that has functions: one, however many there are */
static struct app_version *version_of_app(struct node *node, uid_t uid, const char *app)
{
	struct registry_entry *newest = NULL;
	for (struct registry_entry *entry = NULL; (entry = registry_next(node->registry, entry));)
		if (entry->uid == uid && strcmp(entry->version->app, app) == 0 &&
			(!newest || entry->generation > newest->generation))
			newest = entry;
	return newest ? newest->version : NULL;
}

/* two deployments into one app at once: the second would undo the first */
static int check_base(const struct deploy *deploy, struct ramet_err *err)
{
	if (!deploy->base)
		return 0;
	const struct app_version *now = version_of_app(
		deploy->request.clients->node, deploy->request.uid, deploy->version->app);
	if (now && strcmp(now->id, deploy->base->id) == 0)
		return 0;
	return err_set(err, RAMET_EAGAIN, "app %s was changed meanwhile: deploy again",
		deploy->version->app);
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
	int rc = check_base(deploy, &err);
	if (rc == 0 && deploy->rollback)
		rc = registry_rollback(node->registry, deploy->version, &news, &err);
	else if (rc == 0)
		rc = registry_deploy(node->registry, deploy->version, &news, &err);
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
	} fractions[] = {{"install", 0.15}, {"start", 0.2}, {"load", 0.4}, {"capture", 0.8}};
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
		bundle_pack_merged(wire_root(msg), deploy->request.uid, deploy->gid,
			deploy->base ? deploy->base->id : NULL, deploy->base_path, &deploy->archive,
			&deploy->version, &deploy->error);
	wire_free(msg);
	buf_fini(&deploy->message);
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
	if (deploy->error.code || command_check_languages(deploy->version, &deploy->error) < 0) {
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

static void start_pack(struct deploy *deploy)
{
	deploy->work.run = run_pack;
	deploy->work.done = pack_done;
	deploy->working = true;
	workers_submit(deploy->request.clients->node->workers, &deploy->work);
}

static void on_base(void *user, const struct ramet_err *error)
{
	struct deploy *deploy = user;
	deploy->install = NULL;
	if (error)
		fail_plain(deploy, error);
	else
		start_pack(deploy);
}

static int fetch_files(struct node *node, const struct app_version *version, bundle_done_fn *done,
	struct deploy *deploy, struct ramet_err *err)
{
	uint32_t peers[NODE_MAX_PEERS];
	unsigned npeers = 0;
	for (unsigned i = 0; i < members_count(node->members); i++) {
		const struct member *m = members_at(node->members, i);
		if (m->alive)
			peers[npeers++] = m->info.node;
	}
	return bundles_fetch(
		node->bundles, version->id, peers, npeers, done, deploy, &deploy->install, err);
}

/* what is deployed into an app comes to what it has: its files must be here */
static int find_base(struct deploy *deploy, const struct wire_value *body, struct ramet_err *err)
{
	struct node *node = deploy->request.clients->node;
	char app[CLIENT_NAME_MAX + 1], dir[NODE_PATH_MAX + 96];
	bool merge = false;
	int rc = wire_get_bool_or(body, "merge", false, &merge, err);
	if (rc == 0)
		rc = wire_get_str(body, "app", app, sizeof(app), err);
	if (rc < 0)
		return rc;
	struct app_version *base = merge ? version_of_app(node, deploy->request.uid, app) : NULL;
	if (!base) {
		start_pack(deploy);
		return 0;
	}
	rc = bundles_path(node->bundles, base->id, dir, sizeof(dir));
	if (rc < 0)
		return err_set(err, rc, "path of version %.12s", base->id);
	deploy->base = app_version_get(base);
	snprintf(deploy->base_path, sizeof(deploy->base_path), "%s.bundle", dir);
	return fetch_files(node, base, on_base, deploy, err);
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
	if (find_base(deploy, body, err) < 0) {
		client_request_end(request);
		return err->code;
	}
	return 0;
}

/* --- going back --- */

/* the one that the function had before; its files are here, or where it was used */
static int begin_rollback(struct deploy *deploy, struct app_version *version, struct ramet_err *err)
{
	struct node *node = deploy->request.clients->node;
	deploy->version = app_version_get(version);
	deploy->rollback = true;
	return fetch_files(node, version, on_installed, deploy, err);
}

int clients_on_rollback(
	struct client *client, uint64_t req, const struct wire_value *body, struct ramet_err *err)
{
	struct node *own = client->clients->node;
	struct client_request *request;
	struct registry_entry *entry = NULL;
	struct app_version *version = NULL;
	char name[CALL_NAME_MAX], which[VERSION_HEX + 1];
	uint32_t node = 0;
	int rc = client_get_name(body, name, err);
	if (rc == 0)
		rc = wire_get_str_or(body, "version", "", which, sizeof(which), err);
	if (rc == 0)
		rc = client_get_node(client, body, &node, err);
	if (rc == 0)
		rc = registry_find(own->registry, client->uid, name, &entry, err);
	if (rc == 0)
		rc = registry_find_past(entry, which, &version, err);
	if (rc == 0)
		rc = client_request_begin(
			client, req, sizeof(struct deploy), &deploy_ops, &request, err);
	if (rc != 0)
		return rc;
	struct deploy *deploy = container_of(request, struct deploy, request);
	deploy->begin_ns = now_ns();
	deploy->node = node ? node : own->config.node;
	rc = begin_rollback(deploy, version, err);
	if (rc < 0)
		client_request_end(request);
	return rc;
}
