/* Cold hosts: from the request to a process that is about to exec. */
#include "runtime/spawn/cold.h"
#include "runtime/spawn/spawn_internal.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ATTEMPTS 2 /* a sandbox whose init is dying is replaced once */

struct host_request {
	uint64_t inst;
	char **argv, **env;
	char dir[PATH_MAX]; /* of the machine */
	char inside[PATH_MAX]; /* as the host sees it */
	bool bind;
	uint64_t view; /* whose sandboxes; 0: the server's */
	bool bare; /* in none */
};

static void host_request_fini(struct host_request *host)
{
	free(host->argv);
	free(host->env);
}

static bool below(const char *path, const char *dir, size_t *ret_len)
{
	*ret_len = strlen(dir);
	return strncmp(path, dir, *ret_len) == 0 && (!path[*ret_len] || path[*ret_len] == '/');
}

/* how its directory is seen, and whether it must be bound for that */
static int place_dir(
	const struct spawn_server *server, struct host_request *host, struct ramet_err *err)
{
	size_t len;
	const char *store = server->config.store_dir;
	if (!host->dir[0])
		memcpy(host->dir, "/", 2);
	if (host->dir[0] != '/')
		return err_set(err, RAMET_EINVAL, "not an absolute path: %.200s", host->dir);
	memcpy(host->inside, host->dir, sizeof(host->inside));
	if (!server->pool || host->bare)
		return 0;
	if (store && below(host->dir, store, &len)) {
		int n = snprintf(host->inside, sizeof(host->inside), SPAWN_INSIDE "%.*s",
			(int)sizeof(host->inside), host->dir + len);
		return n < (int)sizeof(host->inside)
			? 0
			: err_set(err, RAMET_ELIMIT, "a path is too long");
	}
	host->bind = strncmp(host->dir, "/tmp/", 5) == 0 || strncmp(host->dir, "/run/", 5) == 0;
	return 0;
}

static int parse(const struct spawn_server *server, const struct wire_value *body,
	struct host_request *host, struct ramet_err *err)
{
	uint32_t argc, envc;
	int rc = wire_get_uint(body, "inst", UINT64_MAX, &host->inst, err);
	if (rc == 0)
		rc = spawn_get_strings(body, "argv", &host->argv, &argc, err);
	if (rc == 0)
		rc = spawn_get_strings(body, "env", &host->env, &envc, err);
	if (rc == 0)
		rc = wire_get_str_or(body, "dir", "", host->dir, sizeof(host->dir), err);
	if (rc == 0)
		rc = wire_get_uint_or(body, "view", UINT64_MAX, 0, &host->view, err);
	if (rc == 0)
		rc = wire_get_bool_or(body, "bare", false, &host->bare, err);
	if (rc == 0 && (argc == 0 || host->argv[0][0] != '/'))
		rc = err_set(err, RAMET_EINVAL, "argv[0] is not an absolute path: %.200s",
			argc ? host->argv[0] : "(none)");
	return rc < 0 ? rc : place_dir(server, host, err);
}

/* forks it into a sandbox, which the record then holds */
static int start_in_sandbox(struct instance *inst, struct sandbox_pool *pool,
	struct cold_start *start, pid_t *ret_pid, int *ret_outcome, struct ramet_err *err)
{
	int rc = RAMET_EAGAIN;
	for (int i = 0; i < ATTEMPTS && rc == RAMET_EAGAIN; i++) {
		sandbox_discard(inst->sandbox);
		inst->sandbox = NULL;
		rc = pool ? sandbox_take(pool, &inst->sandbox, err) : 0;
		if (rc < 0)
			return rc;
		start->sandbox_pidfd = inst->sandbox ? inst->sandbox->pidfd : -1;
		rc = cold_start(start, ret_pid, ret_outcome, err);
	}
	return rc;
}

static int start_host(struct instance *inst, const struct host_request *host,
	const struct spawn_request *request, struct ramet_err *err)
{
	struct spawn_server *server = inst->server;
	struct cold_start start = {
		.argv = (const char *const *)host->argv,
		.env = (const char *const *)host->env,
		.dir = host->inside,
		.bind = host->bind ? host->dir : NULL,
		.control_fd = request->fds[0],
		.log_fd = request->fds[1],
		.uid = inst->of.uid,
		.gid = inst->of.gid,
		.clear_groups = server->root,
		.tenant_pidfd = inst->of.tenant && !host->bare ? inst->of.tenant->pidfd : -1,
		.sandbox_pidfd = -1,
		.group = inst->of.group,
		.nofile = &server->nofile,
		.seccomp = &server->seccomp[inst->of.isolates ? SYSCALLS_ISOLATES_BEGIN
							      : SYSCALLS_ANY],
		.landlock = inst->of.isolates,
	};
	pid_t pid = 0;
	int outcome = -1;
	struct sandbox_pool *pool = NULL;
	int rc = host->bare ? 0 : spawn_view_pool(server, host->view, &pool, err);
	if (rc == 0)
		rc = start_in_sandbox(inst, pool, &start, &pid, &outcome, err);
	if (rc < 0)
		return rc;
	instance_begin(inst, pid);
	rc = instance_await(inst, outcome, err);
	if (rc < 0) { /* undone: the caller frees the record */
		instance_kill(inst);
		reaper_forget(server->reaper, &inst->child);
	}
	return rc;
}

int spawn_handle_host(
	struct spawn_server *server, struct spawn_request *request, struct ramet_err *err)
{
	if (request->nfds != 2)
		return err_set(err, RAMET_EPROTO, "host: %u descriptors, not control and log",
			request->nfds);
	CLEANUP(host_request_fini) struct host_request host = {0};
	int rc = parse(server, request->body, &host, err);
	if (rc < 0)
		return rc;
	AUTO(instance_destroy) struct instance *inst = NULL;
	rc = instance_create(server, host.inst, &inst, err);
	if (rc == 0)
		rc = spawn_get_membership(server, request->body, &inst->of, err);
	if (rc < 0)
		return rc;
	inst->req = request->req;
	snprintf(inst->name, sizeof(inst->name), "%s", host.argv[0]);
	rc = start_host(inst, &host, request, err);
	if (rc == 0)
		(void)steal_ptr(&inst);
	return rc;
}
