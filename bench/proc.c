/* Talking to hosts and clones: runtime/host_proto.h from the daemon's side, blocking. */
#include "bench/node.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/frame.h"
#include "runtime/host_proto.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ANSWER_NS (60 * NSEC_PER_SEC)

struct message {
	unsigned char *bytes;
	struct wire_msg *wire;
	const struct wire_value *body;
	char type[24];
	int fds[FRAME_MAX_FDS];
	unsigned nfds;
};

static void message_fini(struct message *m)
{
	wire_free(m->wire);
	free(m->bytes);
	for (unsigned i = 0; i < m->nfds; i++)
		if (m->fds[i] >= 0)
			close(m->fds[i]);
}

/* the error that a host reports, as ours */
static int host_error(const struct message *m, struct ramet_err *err)
{
	const struct wire_value *map = NULL;
	const char *text = "";
	const char *trace = "";
	size_t len = 0;
	size_t trace_len = 0;
	if (wire_get_map(m->body, "error", &map, NULL) == 0) {
		(void)wire_get_span(map, "message", &text, &len, NULL);
		(void)wire_get_span(map, "traceback", &trace, &trace_len, NULL);
	}
	return err_set(
		err, RAMET_EUSER, "%s: %.*s %.*s", m->type, (int)len, text, (int)trace_len, trace);
}

static int proc_next(struct proc *proc, const char *type, struct message *m, struct ramet_err *err)
{
	struct wire_limits limits = WIRE_LIMITS_CONTROL;
	size_t len = 0;
	limits.bytes = HOST_MAX_FRAME;
	*m = (struct message){.nfds = FRAME_MAX_FDS};
	int rc = frame_read(proc->control, HOST_MAX_FRAME, &m->bytes, &len, m->fds, &m->nfds,
		now_ns() + ANSWER_NS, err);
	if (rc < 0) {
		m->nfds = 0;
		return rc;
	}
	rc = wire_parse(m->bytes, len, limits, &m->wire, err);
	if (rc < 0)
		return rc;
	m->body = wire_root(m->wire);
	rc = wire_get_str(m->body, "t", m->type, sizeof(m->type), err);
	if (rc == 0 && strcmp(m->type, type) != 0)
		rc = host_error(m, err);
	return rc;
}

static int proc_send(struct proc *proc, struct buf *b, struct ramet_err *err)
{
	int rc = wire_end(b, err);
	return rc < 0 ? rc : frame_write(proc->control, b->data, b->len, NULL, 0, 0, err);
}

static int proc_send_plain(struct proc *proc, const char *type, struct ramet_err *err)
{
	CLEANUP(buf_fini) struct buf b = {0};
	wire_map(&b, 1);
	wire_kstr(&b, "t", type);
	return proc_send(proc, &b, err);
}

int proc_post_exit(struct proc *proc, struct ramet_err *err)
{
	return proc_send_plain(proc, "exit", err);
}

int proc_wait_started(struct proc *proc, struct ramet_err *err)
{
	CLEANUP(message_fini) struct message m = {0};
	int rc = proc_next(proc, "started", &m, err);
	if (rc == 0)
		rc = wire_get_uint(m.body, "first", UINT64_MAX, &proc->first_ns, err);
	if (rc == 0)
		rc = wire_get_uint(m.body, "hooks", UINT64_MAX, &proc->hooks_ns, err);
	return rc;
}

/* --- calls --- */

int proc_post(struct proc *proc, const char *function, const char *json, struct ramet_err *err)
{
	static const unsigned char id[16];
	CLEANUP(buf_fini) struct buf b = {0};
	wire_map(&b, 7);
	wire_kstr(&b, "t", "call");
	wire_kuint(&b, "id", 1);
	wire_kstr(&b, "fn", function);
	wire_kbin(&b, "data", json, strlen(json));
	wire_kbool(&b, "binary", false);
	wire_key(&b, "ctx");
	wire_map(&b, 6);
	wire_kstr(&b, "version", "bench");
	wire_kuint(&b, "node", 1);
	wire_kuint(&b, "rank", 0);
	wire_kuint(&b, "size", 1);
	wire_kuint(&b, "deadline", 0);
	wire_kbin(&b, "random", id, sizeof(id));
	wire_kuint(&b, "max_output", HOST_MAX_PAYLOAD);
	return proc_send(proc, &b, err);
}

int proc_result(struct proc *proc, char **ret_json, struct ramet_err *err)
{
	CLEANUP(message_fini) struct message m = {0};
	const void *data = "";
	size_t len = 0;
	bool ok = false;
	int rc = proc_next(proc, "result", &m, err);
	if (rc == 0)
		rc = wire_get_bool_or(m.body, "ok", false, &ok, err);
	if (rc == 0 && !ok)
		return host_error(&m, err);
	if (rc == 0)
		rc = wire_get_bin(m.body, "data", &data, &len, err);
	if (rc < 0)
		return rc;
	if (ret_json) {
		*ret_json = strndup(data, len);
		if (!*ret_json)
			return err_nomem(err);
	}
	return 0;
}

int proc_call(struct proc *proc, const char *function, const char *json, char **ret_json,
	struct ramet_err *err)
{
	int rc = proc_post(proc, function, json, err);
	return rc < 0 ? rc : proc_result(proc, ret_json, err);
}

/* --- hosts --- */

static bool is_of(const struct proc_language *language, const char *handler)
{
	char end[32];
	snprintf(end, sizeof(end), ".%s:", language->name);
	return strstr(handler, end) != NULL;
}

static void pack_function(
	struct buf *b, const char *name, const char *handler, const struct proc_language *language)
{
	bool other = language && is_of(language, handler);
	wire_map(b, other ? 3 : 2);
	wire_kstr(b, "name", name);
	if (other)
		wire_kstr(b, "lang", language->name);
	wire_kstr(b, "handler", handler);
}

static void pack_config(struct buf *b, const struct proc_language *language)
{
	wire_key(b, "config");
	wire_map(b, language ? 1 : 0);
	if (!language)
		return;
	wire_key(b, "languages");
	wire_map(b, 1);
	wire_kstr(b, language->name, language->engine);
}

int proc_load(
	struct proc *proc, const char *app, const char *const *functions, struct ramet_err *err)
{
	return proc_load_with(proc, app, functions, NULL, err);
}

int proc_load_with(struct proc *proc, const char *app, const char *const *functions,
	const struct proc_language *language, struct ramet_err *err)
{
	CLEANUP(buf_fini) struct buf b = {0};
	CLEANUP(message_fini) struct message m = {0};
	uint32_t count = 0;
	while (functions[2 * count])
		count++;
	wire_map(&b, 5);
	wire_kstr(&b, "t", "load");
	wire_kstr(&b, "dir", app);
	wire_key(&b, "functions");
	wire_array(&b, count);
	for (uint32_t i = 0; i < count; i++)
		pack_function(&b, functions[2 * i], functions[2 * i + 1], language);
	wire_key(&b, "env");
	wire_map(&b, 0);
	pack_config(&b, language);
	int rc = proc_send(proc, &b, err);
	if (rc < 0)
		return rc;
	return proc_next(proc, "loaded", &m, err);
}

static int take_shadow(struct message *m, struct capture_request *ret, struct ramet_err *err)
{
	uint64_t state = 0;
	int rc = wire_get_uint(m->body, "state", UINT64_MAX, &state, err);
	if (rc == 0 && m->nfds != 2)
		rc = err_set(err, RAMET_EPROTO, "captured with %u descriptors", m->nfds);
	if (rc < 0)
		return rc;
	*ret = (struct capture_request){
		.pidfd = m->fds[0],
		.ready_fd = m->fds[1],
		.state = state,
		.epoch = 1,
		.timeout_ms = 10000,
	};
	return 0;
}

int proc_capture(struct proc *proc, struct image **ret_image, struct capture_stats *ret_stats,
	uint64_t *ret_stall_ns, struct ramet_err *err)
{
	CLEANUP(message_fini) struct message m = {0};
	struct capture_request request = {0};
	int rc = proc_send_plain(proc, "capture", err);
	if (rc == 0)
		rc = proc_next(proc, "captured", &m, err);
	if (rc == 0)
		rc = wire_get_uint(m.body, "stall", UINT64_MAX, ret_stall_ns, err);
	if (rc == 0)
		rc = take_shadow(&m, &request, err);
	if (rc < 0)
		return rc;
	rc = capture_seed(&request, ret_image, ret_stats, err);
	(void)syscall(SYS_pidfd_send_signal, request.pidfd, SIGKILL, NULL, 0);
	return rc;
}

/* --- making them --- */

void proc_free(struct proc *proc)
{
	if (!proc)
		return;
	struct node *node = proc->node;
	if (!proc->made)
		spawn_forget(node->spawn, proc->request);
	if (proc->made && !proc->ended && !list_empty(&proc->link)) {
		spawn_kill(node->spawn, proc->inst);
		(void)proc_wait_ended(proc, NULL);
	}
	list_remove(&proc->link);
	close_reset(&proc->control);
	close_reset(&proc->uffd);
	free(proc);
}

static void on_made(void *user, struct spawn_result *result)
{
	struct proc *proc = user;
	proc->made = true;
	proc->err = result->err;
	proc->pid = result->pid;
	proc->begin_ns = result->begin_ns;
	proc->uffd = result->uffd;
	result->uffd = -1;
	if (result->err.code < 0)
		proc->ended = true;
}

static int proc_new(
	struct node *node, struct proc **ret_proc, int *ret_theirs, struct ramet_err *err)
{
	int sockets[2];
	struct proc *proc = calloc(1, sizeof(*proc));
	if (!proc)
		return err_nomem(err);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) < 0) {
		free(proc);
		return err_errno(err, RAMET_EIO, "socketpair");
	}
	*proc = (struct proc){
		.node = node, .inst = node->next++, .control = sockets[0], .uffd = -1};
	list_append(&node->procs, &proc->link);
	*ret_proc = proc;
	*ret_theirs = sockets[1];
	return 0;
}

/* what the kept log of a benchmark's instances is: our own standard error */
static int log_fd(void)
{
	return STDERR_FILENO;
}

int proc_host(struct node *node, const char *lang, const char *app, struct proc **ret_proc,
	struct ramet_err *err)
{
	CLEANUP(message_fini) struct message m = {0};
	auto_proc struct proc *proc = NULL;
	auto_close int theirs = -1;
	char host[sizeof(node->bin) + 32];
	char engine[sizeof(node->bin) + 64];
	char preload[sizeof(node->bin) + 64];
	char baseline[sizeof(node->bin) + 64];
	snprintf(host, sizeof(host), "%s/ramet-host", node->bin);
	snprintf(engine, sizeof(engine), "%s/../python/ramet_host/__main__.py", node->bin);
	snprintf(preload, sizeof(preload), "LD_PRELOAD=%s/../lib/libramet-host.so.0", node->bin);
	snprintf(baseline, sizeof(baseline), "BENCH_BASELINE=%s/../lib/libbench_baseline.so",
		node->bin);
	const char *native[] = {host, NULL};
	const char *python[] = {"/usr/bin/python3", engine, NULL};
	const char *env[] = {"PATH=/usr/bin:/bin", "HOME=/tmp", "LANG=C.UTF-8",
		"OPENBLAS_NUM_THREADS=1", "OMP_NUM_THREADS=1", "RAMET_CONTROL_FD=3",
		"LD_BIND_NOW=1", preload, baseline, NULL};
	int rc = proc_new(node, &proc, &theirs, err);
	if (rc < 0)
		return rc;
	struct spawn_host request = {
		.inst = proc->inst,
		.argv = strcmp(lang, "python") == 0 ? python : native,
		.env = env,
		.dir = app,
		.tenant = {BENCH_UID, BENCH_UID, "bench"},
		.group = "bench",
		.control_fd = theirs,
		.log_fd = log_fd(),
	};
	rc = spawn_host(node->spawn, &request, on_made, proc, &proc->request, err);
	if (rc == 0)
		rc = proc_wait_made(proc, err);
	close_reset(&theirs);
	if (rc == 0)
		rc = proc_next(proc, "ready", &m, err);
	if (rc < 0)
		return rc;
	*ret_proc = steal_ptr(&proc);
	return 0;
}

static int post_options(
	struct proc *proc, const struct clone_options *options, struct ramet_err *err)
{
	int rc = 0;
	if (options->function)
		rc = proc_post(proc, options->function, options->json, err);
	if (rc == 0 && options->exit)
		rc = proc_post_exit(proc, err);
	return rc;
}

int node_clone(struct node *node, uint64_t tmpl, const struct clone_options *options,
	struct proc **ret_proc, struct ramet_err *err)
{
	auto_proc struct proc *proc = NULL;
	auto_close int theirs = -1;
	int rc = proc_new(node, &proc, &theirs, err);
	if (rc == 0)
		rc = post_options(proc, options, err);
	if (rc < 0)
		return rc;
	struct spawn_clone request = {
		.tmpl = tmpl,
		.inst = proc->inst,
		.control_fd = theirs,
		.log_fd = log_fd(),
		.populate = options->npopulate ? &options->populate[0][0] : NULL,
		.npopulate = options->npopulate,
	};
	proc->asked_ns = now_ns();
	rc = spawn_clone(node->spawn, &request, on_made, proc, &proc->request, err);
	if (rc < 0)
		return rc;
	*ret_proc = steal_ptr(&proc);
	return 0;
}
