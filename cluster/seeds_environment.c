/* Making an app's environment: see seeds_environment.h. Its process runs tenant code (pip runs that
 * of packages) or reads it (a compiler), as the tenant and with no other rights; what it says is
 * checked. */
#include "cluster/seeds_environment.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "cluster/bundle.h"
#include "cluster/instances.h"
#include "cluster/node.h"
#include "cluster/seeds_command.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAKE_MS (30ull * 60 * 1000)

struct environment {
	struct node *node;
	struct app_version *app;
	environment_done_fn *done;
	void *user;
	struct instance *inst; /* that makes it */
	struct loop_timer timer;
	enum environment_kind kind;
	char root[NODE_PATH_MAX + 32]; /* of the tenant's environments */
};

static void environment_free(struct environment *environment)
{
	loop_timer_cancel(&environment->timer);
	app_version_put(environment->app);
	free(environment);
}

static void orphan_gone(void *user, struct instance *inst, const struct call_error *cause)
{
	(void)user;
	(void)inst;
	(void)cause;
}
static const struct instance_handler orphan_handler = {.on_gone = orphan_gone};

void environment_forget(struct environment *environment)
{
	if (!environment)
		return;
	if (environment->inst && environment->node->instances) {
		instance_own(environment->inst, &orphan_handler, NULL);
		instance_end(environment->inst);
	}
	environment_free(environment);
}

static void finish(
	struct environment *environment, const char *made, const struct call_error *error)
{
	environment_done_fn *done = environment->done;
	void *user = environment->user;
	environment_forget(environment);
	done(user, made, error);
}

static void too_slow(struct loop_timer *timer)
{
	struct environment *environment = container_of(timer, struct environment, timer);
	struct call_error error = {.node = environment->node->config.node};
	bool compiles = environment->kind == ENVIRONMENT_COMPILED;
	err_set(&error.err, RAMET_ETIMEOUT, "%s of %s were not %s within %llu min",
		compiles ? "files" : "requirements", environment->app->app,
		compiles ? "compiled" : "installed", MAKE_MS / 60000);
	finish(environment, NULL, &error);
}

/* --- what it says --- */

static int take_made(
	struct environment *environment, const struct wire_value *body, struct ramet_err *err)
{
	const struct wire_value *roots;
	const char *text = NULL;
	char made[NODE_PATH_MAX + 128];
	size_t len = 0, root = strlen(environment->root);
	uint32_t count;
	int rc = wire_get_array(body, "roots", &roots, &count, err);
	if (rc == 0)
		rc = wire_as_span(wire_at(roots, 0), &text, &len, err);
	if (rc < 0)
		return rc;
	if (len >= sizeof(made) || len <= root || memchr(text, 0, len) ||
		memcmp(text, environment->root, root) != 0 || text[root] != '/')
		return err_set(err, RAMET_EPROTO, "an environment elsewhere than asked");
	memcpy(made, text, len);
	made[len] = '\0';
	log_info("environment.ready", "app=%s version=%.12s made=%s", environment->app->app,
		environment->app->id, made);
	finish(environment, made, NULL);
	return 0;
}

static int take_failure(
	struct environment *environment, const struct wire_value *body, struct ramet_err *err)
{
	struct call_error error = {0};
	int rc = instance_take_error(environment->inst, body, &error, err);
	if (rc < 0)
		return rc;
	instance_add_log_tail(environment->inst, &error);
	finish(environment, NULL, &error);
	call_error_fini(&error);
	return 0;
}

static int on_message(void *user, struct instance *inst, const char *type,
	const struct wire_value *body, int *fds, unsigned nfds, struct ramet_err *err)
{
	struct environment *environment = user;
	(void)inst;
	(void)fds;
	(void)nfds;
	if (strcmp(type, "loaded") == 0)
		return take_made(environment, body, err);
	if (strcmp(type, "failed") == 0)
		return take_failure(environment, body, err);
	return err_set(err, RAMET_EPROTO, "unexpected message %s", type);
}

static void on_started(void *user, struct instance *inst)
{
	(void)user;
	(void)inst;
}

static void on_gone(void *user, struct instance *inst, const struct call_error *cause)
{
	struct environment *environment = user;
	(void)inst;
	environment->inst = NULL;
	finish(environment, NULL, cause);
}

static const struct instance_handler handler = {
	.on_started = on_started,
	.on_message = on_message,
	.on_gone = on_gone,
};

/* --- beginning --- */

/* every part that is missing; the last is the tenant's own */
static int make_root(const struct environment *environment, struct ramet_err *err)
{
	const struct app_version *app = environment->app;
	char path[sizeof(environment->root)];
	snprintf(path, sizeof(path), "%s", environment->root);
	for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		int rc = mkdir(path, 0755) < 0 ? -1 : chmod(path, 0755); /* whatever our umask is */
		if (rc < 0 && errno != EEXIST)
			return err_errno(err, RAMET_EIO, "create %s", path);
		*slash = '/';
	}
	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return err_errno(err, RAMET_EIO, "create %s", path);
	if (geteuid() == 0 && chown(path, app->uid, app->gid) < 0)
		return err_errno(err, RAMET_EIO, "give %s to user %u", path, app->uid);
	return 0;
}

static int start(struct environment *environment, struct ramet_err *err)
{
	struct node *node = environment->node;
	struct app_version *app = environment->app;
	char dir[NODE_PATH_MAX + 128];
	AUTO(command_destroy) struct command *command = NULL;
	int rc = bundles_path(node->bundles, app->id, dir, sizeof(dir));
	if (rc < 0)
		return err_set(err, rc, "path of version %.12s", app->id);
	rc = environment->kind == ENVIRONMENT_COMPILED
		? command_create_compiler(app, environment->root, &command, err)
		: command_create_environment(
			  app, node->config.python, environment->root, &command, err);
	if (rc < 0)
		return rc;
	struct instance_host host = {
		.app = app,
		.argv = command_argv(command),
		.env = command_env(command),
		.dir = dir,
		.bare = true,
	};
	rc = instance_start_host(
		node->instances, &host, &handler, environment, &environment->inst, err);
	if (rc == 0 &&
		loop_timer_set(node->loop, &environment->timer, now_ns() + MAKE_MS * NSEC_PER_MSEC,
			too_slow) < 0)
		rc = err_nomem(err);
	return rc;
}

int environment_begin(struct node *node, struct app_version *app, enum environment_kind kind,
	environment_done_fn *done, void *user, struct environment **ret_environment,
	struct ramet_err *err)
{
	struct environment *environment = calloc(1, sizeof(*environment));
	if (!environment)
		return err_nomem(err);
	environment->node = node;
	environment->app = app_version_get(app);
	environment->kind = kind;
	environment->done = done;
	environment->user = user;
	snprintf(environment->root, sizeof(environment->root), "%s/%u", node->config.environments,
		(unsigned)app->uid);
	int rc = make_root(environment, err);
	if (rc == 0)
		rc = start(environment, err);
	if (rc < 0) {
		environment_forget(environment);
		return rc;
	}
	*ret_environment = environment;
	return 0;
}
