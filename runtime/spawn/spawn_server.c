/* The life of ramet-spawn: what is set up before hello, the loop, and the end, which leaves nothing
 * behind. */
#include "runtime/spawn/spawn_server.h"
#include "base/log.h"
#include "runtime/spawn/privileges.h"
#include "runtime/spawn/spawn_internal.h"

#include <grp.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define DRAIN_MS 3000
#define NOFILE_WANTED 65536u

static void on_closed(void *user, const struct ramet_err *err)
{
	struct spawn_server *server = user;
	if (err->code != RAMET_EPEER)
		log_err(LOG_ERROR, "spawn.connection", err);
	loop_stop(server->loop);
}

static const struct frame_handler handler = {spawn_on_frame, on_closed};

struct stop_watch {
	struct loop_watch watch;
	int fd;
};

static void on_stop_signal(struct loop_watch *watch, uint32_t events)
{
	(void)events;
	loop_stop(watch->loop);
}

static int watch_signals(struct loop *loop, struct stop_watch *stop, struct ramet_err *err)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	stop->fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (stop->fd < 0)
		return err_errno(err, RAMET_EIO, "signalfd");
	return loop_watch_add(loop, &stop->watch, stop->fd, EPOLLIN, on_stop_signal, err);
}

static void note(struct spawn_server *server, const char *text)
{
	probe_note(server->missing, sizeof(server->missing), text);
}

/* Without root, a user namespace gives sandboxes, if the machine allows it. The uid 0 of a
 * container is not root for that. */
static void set_up_identity(struct spawn_server *server)
{
	server->root = geteuid() == 0 && privileges_have(CAP_SYS_ADMIN);
	if (server->root) {
		(void)setgroups(0, NULL); /* none is needed, and files are opened for tenants */
		return;
	}
	server->userns = privileges_enter_userns() == 0 && privileges_keep() == 0;
	if (!server->userns)
		note(server, "no user namespaces");
}

/* What is missing is noted, not an error: the node then works without. */
static int set_up_sandboxes(struct spawn_server *server, struct ramet_err *err)
{
	struct sandbox_options options = {
		.helper = server->config.sandbox_path,
		.store_dir = server->config.store_dir,
		.hide_dir = server->config.hide_dir,
		.target = server->config.sandboxes,
		.view_fd = -1,
	};
	struct ramet_err why = {0};
	if (!server->root && !server->userns)
		return 0;
	int rc = sandbox_pool_create(server->loop, server->reaper, &options, &server->pool, &why);
	if (rc == RAMET_ENOMEM)
		return err_nomem(err);
	if (rc < 0) {
		char text[256];
		snprintf(text, sizeof(text), "no sandboxes: %.200s", why.msg);
		note(server, text);
		return 0;
	}
	server->fuse = spawn_can_fuse();
	return tenants_create(server->reaper, &server->tenants, err);
}

/* Two descriptors for each instance are many for the usual limit. */
static void raise_limit(struct spawn_server *server)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	server->nofile = limit;
	limit.rlim_cur = MIN(limit.rlim_max, NOFILE_WANTED);
	if (limit.rlim_cur > server->nofile.rlim_cur)
		(void)setrlimit(RLIMIT_NOFILE, &limit);
}

static void build_filters(struct spawn_server *server)
{
	struct ramet_err why = {0};
	int rc = 0;
	for (unsigned set = 0; rc == 0 && set < SYSCALL_SETS; set++)
		rc = syscall_filter_build((enum syscall_set)set, &server->seccomp[set], &why);
	if (rc < 0)
		note(server, why.msg);
}

static int set_up(struct spawn_server *server, int conn_fd, struct ramet_err *err)
{
	int rc = frame_conn_create(server->loop, conn_fd, SPAWN_MAX_FRAME, SPAWN_MAX_QUEUE,
		&handler, server, &server->conn, err);
	if (rc < 0) {
		close(conn_fd);
		return rc;
	}
	raise_limit(server);
	rc = reaper_create(server->loop, &server->reaper, err);
	if (rc == 0)
		rc = cgroups_create(server->loop, server->config.node, &server->cgroups, err);
	if (rc < 0)
		return rc;
	note(server, cgroups_missing(server->cgroups));
	build_filters(server);
	probe_kernel(&server->probe);
	note(server, server->probe.missing);
	set_up_identity(server);
	rc = set_up_sandboxes(server, err);
	if (rc == 0)
		spawn_refill_stubs(server);
	return rc;
}

static void clean_up(struct spawn_server *server)
{
	frame_conn_close(server->conn);
	server->conn = NULL;
	loop_timer_cancel(&server->stub_refill);
	spawn_kill_instances(server);
	spawn_drop_templates(server);
	spawn_drop_stubs(server);
	spawn_drop_views(server);
	sandbox_pool_destroy(server->pool);
	tenants_destroy(server->tenants);
	if (server->reaper && !reaper_drain(server->reaper, DRAIN_MS))
		log_error("spawn.end", "children left after %d ms", DRAIN_MS);
	cgroups_destroy(server->cgroups);
	reaper_destroy(server->reaper);
	for (unsigned set = 0; set < SYSCALL_SETS; set++)
		syscall_filter_fini(&server->seccomp[set]);
	buf_fini(&server->out);
}

int spawn_serve(int conn_fd, const struct spawn_config *config, struct ramet_err *err)
{
	struct spawn_server *server = calloc(1, sizeof(*server));
	if (!server)
		return err_nomem(err);
	server->config = *config;
	list_init(&server->stubs);
	struct stop_watch stop = {.fd = -1};
	int rc = loop_create(&server->loop, err);
	if (rc == 0)
		rc = watch_signals(server->loop, &stop, err);
	if (rc == 0)
		rc = set_up(server, conn_fd, err);
	else
		close(conn_fd);
	if (rc == 0) {
		spawn_send_hello(server);
		rc = loop_run(server->loop, err);
	} else {
		struct ramet_err unknown = {.code = rc};
		spawn_send_failed(server, err ? err : &unknown);
	}
	clean_up(server);
	loop_watch_remove(&stop.watch);
	close_reset(&stop.fd);
	loop_destroy(server->loop);
	free(server);
	return rc;
}
