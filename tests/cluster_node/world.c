/* Setting up nodes in one process: see world.h. */
#include "tests/cluster_node/world.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "cluster/bundle.h"
#include "cluster/bundle_archive.h"
#include "cluster/members.h"
#include "tests/lib/suite.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const functions[] = {"echo", "emit", "bademit", "hang", "crash", "leave",
	"other", "print", "fail", "polite", "die", "garbage", "big", "claim", "hold", "noise",
	"pid", "sum", "touch", "late", "pretend"};

/* one turn of the loop; false: it is too late, or the loop is broken (printed) */
static bool turn(struct world *world, uint64_t deadline)
{
	struct ramet_err err = {0};
	if (now_ns() > deadline)
		printf("  it takes too long\n");
	else if (loop_turn(world->loop, 100 * NSEC_PER_MSEC, &err) < 0)
		printf("  %s\n", err.msg);
	else
		return true;
	return false;
}

bool world_until_true(struct world *world, bool (*fn)(struct world *world))
{
	uint64_t deadline = now_ns() + WORLD_TIMEOUT_NS;
	while (!fn(world)) {
		if (!turn(world, deadline))
			return false;
	}
	return true;
}

bool world_until(struct world *world, const unsigned *counter, unsigned want)
{
	uint64_t deadline = now_ns() + WORLD_TIMEOUT_NS;
	while (*counter < want) {
		if (!turn(world, deadline))
			return false;
	}
	return true;
}

/* An address of the loopback network that no other process uses, so that nobody can take its ports:
   connections leave from 127.0.0.1 and listeners of other tests have other addresses. The port is
   below those the kernel hands out. */
static void own_address(char *addr, size_t cap, unsigned index)
{
	unsigned pid = (unsigned)getpid(); /* less than 2^22 */
	snprintf(addr, cap, "127.%u.%u.%u:%u", 64 + (pid >> 16), pid >> 8 & 255, pid & 255,
		7000 + index);
}

static void configure(struct world *world, unsigned index, const struct world_options *options,
	struct node_config *c)
{
	*c = (struct node_config){
		.node = index + 1,
		.pager = options->eager ? PAGER_EAGER : PAGER_AUTO,
		.capacity = 4,
		.max_instances = options->max_instances ? options->max_instances : 64,
		.max_queue = options->max_queue ? options->max_queue : 1000,
		.start_ms = (uint32_t)suite_patience(10000),
		.idle_ms = options->idle_ms ? options->idle_ms : 60000,
		.host_idle_ms = options->host_idle_ms ? options->host_idle_ms : 60000,
	};
	snprintf(c->name, sizeof(c->name), "n%u", index + 1);
	snprintf(c->dir, sizeof(c->dir), "%s", world->dirs[index]);
	snprintf(c->client_socket, sizeof(c->client_socket), "%s/sock", world->dirs[index]);
	own_address(c->listen, sizeof(c->listen), index);
	snprintf(c->data, sizeof(c->data), "127.0.0.1:0");
	snprintf(c->transport, sizeof(c->transport), "tcp");
	for (unsigned i = 0; i < world->n; i++) {
		if (i == index)
			continue;
		struct node_peer *peer = &c->peers[c->npeers++];
		peer->node = i + 1;
		own_address(peer->listen, sizeof(peer->listen), i);
	}
}

static bool all_ready(struct world *world)
{
	for (unsigned i = 0; i < world->n; i++)
		if (members_ready(world->nodes[i]->members) != world->n - 1)
			return false;
	return true;
}

bool world_init(struct world *world, const struct world_options *options)
{
	struct ramet_err err = {0};
	*world = (struct world){.n = options->nodes ? options->nodes : 1};
	log_init("test", getenv("TEST_DEBUG") ? LOG_DEBUG : LOG_ERROR, STDERR_FILENO);
	world->fds = suite_count_fds();
	bool ok = loop_create(&world->loop, &err) == 0;
	for (unsigned i = 0; ok && i < world->n; i++) { /* first, while there are no threads */
		snprintf(world->dirs[i], sizeof(world->dirs[i]), "/tmp/ramet-world-XXXXXX");
		ok = mkdtemp(world->dirs[i]) && chmod(world->dirs[i], 0711) == 0 &&
			world_spawn(world, i, options, &err) == 0;
	}
	for (unsigned i = 0; ok && i < world->n; i++) {
		struct node_config config;
		configure(world, i, options, &config);
		ok = node_create(world->loop, &config, steal_ptr(&world->spawns[i]),
			     &world->nodes[i], &err) == 0;
	}
	ok = ok && world_until_true(world, all_ready);
	if (!ok)
		printf("  no world: %s\n", err.msg);
	return ok;
}

void world_stop_node(struct world *world, unsigned index)
{
	node_destroy(world->nodes[index]);
	world->nodes[index] = NULL;
}

static int delete_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

void world_fini(struct world *world)
{
	for (unsigned i = 0; i < world->n; i++)
		node_destroy(world->nodes[i]);
	for (unsigned i = 0; i < world->n; i++)
		spawn_client_stop(world->spawns[i]);
	app_version_put(world->app);
	loop_destroy(world->loop);
	for (unsigned i = 0; i < world->n; i++)
		nftw(world->dirs[i], delete_one, 16, FTW_DEPTH | FTW_PHYS);
	CHECK_INT(suite_count_fds(), world->fds);
}

/* --- deploying --- */

static void pack_app(struct buf *b, const struct world_app *app)
{
	const char *file = app->python ? "f.py" : "libf.so";
	const char *content = app->content ? app->content : "not really";
	unsigned n = app->samples ? 1 : ARRAY_LEN(functions);
	wire_map(b, 9);
	wire_kstr(b, "app", app->name ? app->name : "app");
	wire_kstr(b, "lang", app->python ? "python" : "native");
	wire_key(b, "functions");
	wire_array(b, n);
	for (unsigned i = 0; i < n; i++) {
		char handler[64];
		snprintf(handler, sizeof(handler), "%s:%s", file, functions[i]);
		wire_map(b, 2);
		wire_kstr(b, "name", functions[i]);
		wire_kstr(b, "handler", handler);
	}
	wire_key(b, "files");
	wire_array(b, 1);
	wire_map(b, 3);
	wire_kstr(b, "path", file);
	wire_kuint(b, "mode", 0755);
	wire_kbin(b, "data", content, strlen(content));
	wire_key(b, "limits");
	wire_map(b, 2);
	wire_kuint(b, "deadline_ms", app->deadline_ms);
	wire_kuint(b, "output", app->output ? app->output : CLIENT_MAX_PAYLOAD);
	wire_kstr(b, "fresh", app->fresh ? app->fresh : "reuse");
	wire_kbool(b, "idempotent", app->idempotent);
	wire_key(b, "samples");
	wire_array(b, app->samples);
	for (unsigned i = 0; i < app->samples; i++)
		wire_bin(b, "1", 1);
	wire_key(b, "env");
	wire_map(b, app->impostor ? 1 : 0);
	if (app->impostor)
		wire_kstr(b, "IMPOSTOR", "1");
}

static void on_installed(void *user, const struct ramet_err *error)
{
	unsigned *done = user;
	*done = error ? 2 : 1;
}

bool world_install(struct world *world, unsigned index, const struct world_app *app)
{
	CLEANUP(buf_fini) struct buf b = {0};
	struct buf archive = {0};
	struct wire_msg *msg = NULL;
	struct ramet_err err = {0};
	struct bundle_fetch *fetch = NULL;
	unsigned done = 0;
	pack_app(&b, app);
	app_version_put(world->app);
	world->app = NULL;
	int rc = wire_parse(b.data, b.len, WIRE_LIMITS_CONTROL, &msg, &err);
	if (rc == 0)
		rc = bundle_pack_deploy(
			wire_root(msg), WORLD_UID, WORLD_UID, &archive, &world->app, &err);
	wire_free(msg);
	if (rc == 0)
		rc = bundles_add(world->nodes[index]->bundles, world->app->id, &archive,
			on_installed, &done, &fetch, &err);
	buf_fini(&archive);
	if (rc < 0)
		printf("  cannot install: %s\n", err.msg);
	return rc == 0 && world_until(world, &done, 1) && done == 1;
}

static void on_stage(void *user, const char *stage, const char *text)
{
	struct made *made = user;
	(void)stage;
	(void)text;
	made->stages++;
}

static void on_made(void *user, const struct seed_made *seed)
{
	struct made *made = user;
	made->seed = *seed;
	(void)call_error_copy(&made->seed.error, &seed->error);
	made->done = 1;
}

int world_begin(struct world *world, unsigned index, struct made *made,
	struct seed_making **ret_making, struct ramet_err *err)
{
	return seeds_make(
		world->nodes[index]->seeds, world->app, on_stage, on_made, made, ret_making, err);
}

void world_make(
	struct world *world, unsigned index, const struct world_app *app, struct made *ret_made)
{
	struct seed_making *making = NULL;
	struct ramet_err err = {0};
	*ret_made = (struct made){0};
	if (!world_install(world, index, app) ||
		world_begin(world, index, ret_made, &making, &err) < 0 ||
		!world_until(world, &ret_made->done, 1))
		err_set(&ret_made->seed.error.err, RAMET_EINTERNAL, "no outcome: %s", err.msg);
}

static bool publish(struct world *world, unsigned index)
{
	struct ramet_err err = {0};
	struct buf news = {0};
	struct wire_msg *msg = NULL;
	int rc = registry_deploy(world->nodes[index]->registry, world->app, &news, &err);
	if (rc == 0)
		rc = wire_parse(news.data, news.len, WIRE_LIMITS_CONTROL, &msg, &err);
	for (unsigned i = 0; rc == 0 && i < world->n; i++)
		if (i != index && world->nodes[i])
			rc = registry_merge(world->nodes[i]->registry, wire_root(msg), &err);
	wire_free(msg);
	buf_fini(&news);
	if (rc < 0)
		printf("  cannot publish: %s\n", err.msg);
	return rc == 0;
}

static bool seed_is_known(struct world *world)
{
	for (unsigned i = 0; i < world->n; i++) {
		struct node *node = world->nodes[i];
		bool known = node && seeds_have(node->seeds, WORLD_UID, world->app->id);
		for (unsigned p = 0; node && p < members_count(node->members); p++)
			known = known ||
				member_holds(members_at(node->members, p), world->app->id) != NULL;
		if (node && !known)
			return false;
	}
	return true;
}

bool world_deploy(struct world *world, unsigned index, const struct world_app *app)
{
	struct made made;
	world_make(world, index, app, &made);
	if (made.seed.error.err.code < 0)
		printf("  not made: %s\n", made.seed.error.err.msg);
	bool ok = made.seed.error.err.code == 0 && publish(world, index) &&
		world_until_true(world, seed_is_known);
	call_error_fini(&made.seed.error);
	return ok;
}

/* --- calls --- */

void outcome_set(struct outcome *outcome, const struct call_result *result)
{
	outcome->result = *result;
	outcome->result.storage = malloc(result->output_len + 1);
	if (!outcome->result.storage || call_error_copy(&outcome->result.error, &result->error) < 0)
		abort();
	if (result->output_len > 0)
		memcpy(outcome->result.storage, result->output, result->output_len);
	((char *)outcome->result.storage)[result->output_len] = '\0';
	outcome->result.output = outcome->result.storage;
	outcome->done++;
}

void outcome_fini(struct outcome *outcome)
{
	call_result_fini(&outcome->result);
}

static void on_done(void *user, const struct call_result *result)
{
	outcome_set(user, result);
}

int world_submit(struct world *world, unsigned index, const struct call_request *request,
	struct outcome *outcome)
{
	struct call_request r = *request;
	struct ramet_err err = {0};
	*outcome = (struct outcome){0};
	r.tenant = r.tenant ? r.tenant : WORLD_UID;
	r.data = r.data ? r.data : "42";
	r.len = r.len ? r.len : 2;
	int rc = calls_submit(world->nodes[index]->calls, &r, on_done, outcome, outcome->id, &err);
	CHECK(outcome->done == 0); /* never from within */
	return rc;
}

struct outcome world_call(
	struct world *world, unsigned index, const char *function, uint32_t pinned)
{
	struct outcome outcome;
	struct call_request request = {.function = function, .node = pinned};
	int rc = world_submit(world, index, &request, &outcome);
	if (rc < 0)
		outcome.result.error.err.code = rc;
	else if (!world_until(world, &outcome.done, 1))
		err_set(&outcome.result.error.err, RAMET_EINTERNAL, "the call never ended");
	return outcome;
}
