/* The messages of ramet-spawn: which function serves which request, and how answers and events are
 * written. */
#include "base/log.h"
#include "runtime/spawn/spawn_internal.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#define TYPE_MAX 16

static int handle_stats(
	struct spawn_server *server, struct spawn_request *request, struct ramet_err *err);

static const struct request_kind {
	const char *type;
	bool answered; /* has a number, and an error is told */
	int (*fn)(
		struct spawn_server *server, struct spawn_request *request, struct ramet_err *err);
} kinds[] = {
	{"clone", true, spawn_handle_clone},
	{"kill", false, spawn_handle_kill},
	{"interrupt", false, spawn_handle_interrupt},
	{"host", true, spawn_handle_host},
	{"template", true, spawn_handle_template},
	{"drop", false, spawn_handle_drop},
	{"view", true, spawn_handle_view},
	{"unview", false, spawn_handle_unview},
	{"stats", true, handle_stats},
};

/* --- writing --- */

static void send_message(struct spawn_server *server, const int *fds, unsigned nfds)
{
	struct ramet_err err = {0};
	if (!server->conn)
		return;
	int rc = wire_end(&server->out, &err);
	if (rc == 0)
		rc = frame_send(server->conn, server->out.data, server->out.len, fds, nfds);
	if (rc < 0 && rc != RAMET_EPEER && rc != RAMET_ECLOSED) {
		/* rametd would wait for it for ever: end instead, which it notices */
		log_error("spawn.send", "err=%s", err_name(rc));
		loop_stop(server->loop);
	}
}

static struct buf *begin(struct spawn_server *server, const char *type, uint32_t pairs)
{
	buf_reset(&server->out);
	wire_map(&server->out, pairs + 1);
	wire_kstr(&server->out, "t", type);
	return &server->out;
}

void spawn_send_hello(struct spawn_server *server)
{
	const struct probe *probe = &server->probe;
	struct buf *b = begin(server, "hello", 8);
	wire_kbool(b, "userfaultfd", probe->userfaultfd && server->root);
	wire_kbool(b, "uffd_wp", probe->uffd_wp && server->root);
	wire_kbool(b, "timens", probe->timens && (server->root || server->userns));
	wire_kbool(b, "seccomp", server->seccomp[SYSCALLS_ANY].filter != NULL);
	wire_kbool(b, "sandbox", server->pool != NULL);
	wire_kbool(b, "fuse", server->fuse);
	wire_kstr(b, "cgroup", cgroups_kind(server->cgroups));
	wire_kstr(b, "detail", server->missing);
	send_message(server, NULL, 0);
}

void spawn_send_failed(struct spawn_server *server, const struct ramet_err *error)
{
	struct buf *b = begin(server, "failed", 1);
	wire_key(b, "error");
	wire_err(b, error);
	send_message(server, NULL, 0);
}

void spawn_send_started(struct spawn_server *server, const struct instance *inst)
{
	struct buf *b = begin(server, "started", 3);
	wire_kuint(b, "req", inst->req);
	wire_kuint(b, "inst", inst->node.key);
	wire_kint(b, "pid", inst->pid);
	send_message(server, NULL, 0);
}

void spawn_send_cloned(struct spawn_server *server, const struct spawn_cloned *cloned)
{
	struct buf *b = begin(server, "cloned", 5);
	wire_kuint(b, "req", cloned->req);
	wire_kuint(b, "inst", cloned->inst);
	wire_kint(b, "pid", cloned->pid);
	wire_kuint(b, "us_sandbox", cloned->us_sandbox);
	wire_kuint(b, "begin", cloned->begin_ns);
	send_message(server, &cloned->uffd, cloned->uffd >= 0 ? 1 : 0);
}

void spawn_send_built(struct spawn_server *server, uint64_t req, uint64_t tmpl, uint64_t us)
{
	struct buf *b = begin(server, "built", 3);
	wire_kuint(b, "req", req);
	wire_kuint(b, "tmpl", tmpl);
	wire_kuint(b, "us", us);
	send_message(server, NULL, 0);
}

void spawn_send_viewed(struct spawn_server *server, uint64_t req, uint64_t view)
{
	struct buf *b = begin(server, "viewed", 2);
	wire_kuint(b, "req", req);
	wire_kuint(b, "view", view);
	send_message(server, NULL, 0);
}

static uint64_t timeval_us(struct timeval tv)
{
	return (uint64_t)tv.tv_sec * 1000000 + (uint64_t)tv.tv_usec;
}

/* the limit that it had reached when it was killed */
static const char *limit_of(const struct instance *inst, const struct rusage *usage)
{
	if (inst->crowded)
		return inst->tenant_crowded ? "tenant.pids" : "pids";
	if (inst->killed || !cgroup_oom_killed(inst->of.group, (uint64_t)usage->ru_maxrss << 10))
		return "";
	return cgroup_tenant_short(inst->of.group) ? "tenant.memory" : "memory";
}

void spawn_send_exited(const struct instance *inst, int wstatus, const struct rusage *usage)
{
	struct spawn_server *server = inst->server;
	bool killed = WIFSIGNALED(wstatus) && WTERMSIG(wstatus) == SIGKILL;
	if (wstatus != 0)
		cgroup_oom_look(inst->of.group);
	struct buf *b = begin(server, "exited", 9);
	wire_kuint(b, "inst", inst->node.key);
	wire_kstr(b, "limit", killed ? limit_of(inst, usage) : "");
	wire_kint(b, "status", WIFEXITED(wstatus) ? WEXITSTATUS(wstatus) : -1);
	wire_kint(b, "signal", WIFSIGNALED(wstatus) ? WTERMSIG(wstatus) : 0);
	wire_kbool(b, "core", WIFSIGNALED(wstatus) && WCOREDUMP(wstatus));
	wire_kbool(b, "alone", inst->alone);
	wire_kuint(b, "utime_us", timeval_us(usage->ru_utime));
	wire_kuint(b, "stime_us", timeval_us(usage->ru_stime));
	wire_kuint(b, "maxrss_kb", (uint64_t)usage->ru_maxrss);
	send_message(server, NULL, 0);
}

void spawn_send_gone(struct spawn_server *server, uint64_t tmpl, const struct ramet_err *why)
{
	struct buf *b = begin(server, "gone", 2);
	wire_kuint(b, "tmpl", tmpl);
	wire_key(b, "error");
	wire_err(b, why);
	send_message(server, NULL, 0);
}

void spawn_send_error(struct spawn_server *server, uint64_t req, const struct ramet_err *error)
{
	struct buf *b = begin(server, "error", 2);
	wire_kuint(b, "req", req);
	wire_key(b, "error");
	wire_err(b, error);
	send_message(server, NULL, 0);
}

static int handle_stats(
	struct spawn_server *server, struct spawn_request *request, struct ramet_err *err)
{
	(void)err;
	struct buf *b = begin(server, "stats", 4);
	wire_kuint(b, "req", request->req);
	wire_kuint(b, "sandboxes", server->pool ? sandbox_pool_ready(server->pool) : 0);
	wire_kuint(b, "templates", server->templates.count);
	wire_kuint(b, "instances", server->instances.count);
	send_message(server, NULL, 0);
	return 0;
}

/* --- reading --- */

static const struct request_kind *find_kind(const struct wire_value *body, struct ramet_err *err)
{
	char type[TYPE_MAX];
	if (wire_get_str(body, "t", type, sizeof(type), err) < 0)
		return NULL;
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		if (strcmp(kinds[i].type, type) == 0)
			return &kinds[i];
	}
	(void)err_set(err, RAMET_EPROTO, "unknown request '%s'", type);
	return NULL;
}

/* A negative result is a broken protocol; a request that fails is answered. */
static int serve(struct spawn_server *server, const struct wire_value *body, int *fds,
	unsigned nfds, struct ramet_err *err)
{
	struct spawn_request request = {.body = body, .fds = fds, .nfds = nfds};
	const struct request_kind *kind = find_kind(body, err);
	if (!kind)
		return RAMET_EPROTO;
	if (!kind->answered)
		return kind->fn(server, &request, err);
	int rc = wire_get_uint(body, "req", UINT64_MAX, &request.req, err);
	if (rc < 0)
		return rc;
	struct ramet_err error = {0};
	if (kind->fn(server, &request, &error) < 0)
		spawn_send_error(server, request.req, &error);
	return 0;
}

void spawn_on_frame(void *user, const unsigned char *data, size_t len, int *fds, unsigned nfds)
{
	struct spawn_server *server = user;
	struct ramet_err err = {0};
	struct wire_msg *msg = NULL;
	int rc = wire_parse(data, len, WIRE_LIMITS_CONTROL, &msg, &err);
	if (rc == 0)
		rc = serve(server, wire_root(msg), fds, nfds, &err);
	wire_free(msg);
	if (rc < 0) {
		log_err(LOG_ERROR, "spawn.request", &err);
		loop_stop(server->loop);
	}
}
