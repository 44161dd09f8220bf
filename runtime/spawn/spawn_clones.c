/* The clone path: a ready sandbox, the stub's clone, one answer. Nothing is allocated but the
 * instance's record and what its request is received in, and nothing is logged. */
#include "base/clock.h"
#include "runtime/spawn/spawn_template.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <unistd.h>

#define ATTEMPTS 2 /* a sandbox whose init is dying is replaced once */
#define FORK_TIMEOUT_MS 5000

/* one range, behind the one before it */
static int get_range(
	const struct wire_value *array, uint32_t at, uint64_t *ranges, struct ramet_err *err)
{
	uint64_t before = at ? ranges[at - 1] : 0, start = 0, end = 0;
	int rc = wire_as_uint(wire_at(array, at), RFORK_USER_END, &start, err);
	if (rc == 0)
		rc = wire_as_uint(wire_at(array, at + 1), RFORK_USER_END, &end, err);
	if (rc < 0)
		return rc;
	bool in_gap = start < RFORK_GAP_END && end > RFORK_GAP_START;
	if (start % RFORK_PAGE || end % RFORK_PAGE || start < before || start >= end || in_gap)
		return err_set(err, RAMET_EPROTO,
			"populate: %#llx to %#llx is no range of pages behind the last",
			(unsigned long long)start, (unsigned long long)end);
	ranges[at] = start;
	ranges[at + 1] = end;
	return 0;
}

static int get_populate(
	const struct wire_value *body, uint64_t *ranges, uint32_t *ret_pairs, struct ramet_err *err)
{
	const struct wire_value *array;
	uint32_t count;
	*ret_pairs = 0;
	if (!wire_has(body, "populate"))
		return 0;
	int rc = wire_get_array(body, "populate", &array, &count, err);
	if (rc < 0)
		return rc;
	if (count % 2 || count / 2 > TEMPLATE_MAX_POPULATE)
		return err_set(err, RAMET_EPROTO, "populate: %u addresses", count);
	for (uint32_t i = 0; rc == 0 && i < count; i += 2)
		rc = get_range(array, i, ranges, err);
	if (rc == 0)
		*ret_pairs = count / 2;
	return rc;
}

/* With userfaultfd, clone(2) in the template returns only after its event was read; if it failed
 * there is none, but an answer. */
static int read_fork(
	const struct spawn_template_record *record, int *ret_uffd, struct ramet_err *err)
{
	struct pollfd pfds[] = {
		{.fd = record->uffd, .events = POLLIN},
		{.fd = template_fd(record->stub), .events = POLLIN},
	};
	int n;
	do
		n = poll(pfds, ARRAY_LEN(pfds), FORK_TIMEOUT_MS);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return err_errno(err, RAMET_EIO, "poll");
	if (n == 0)
		return err_set(err, RAMET_ETIMEOUT, "the template did not clone in %d ms",
			FORK_TIMEOUT_MS);
	if (!(pfds[0].revents & POLLIN))
		return 0;
	return template_read_fork(record->uffd, FORK_TIMEOUT_MS, ret_uffd, err);
}

static int clone_once(const struct spawn_template_record *record,
	const struct template_clone *clone, struct instance *inst, pid_t *ret_pid,
	struct ramet_err *err)
{
	int rc = template_clone_send(record->stub, clone, err);
	if (rc == 0 && record->uffd >= 0)
		rc = read_fork(record, &inst->uffd, err);
	return rc < 0 ? rc : template_clone_wait(record->stub, ret_pid, err);
}

struct timing {
	uint64_t begin_ns;
	uint64_t sandbox_ns;
};

/* The sandbox that the stub is ready for, the first time, or else one of the pool; and another one
 * for the stub to get ready for. */
static int choose_sandboxes(struct spawn_template_record *record, bool first, struct instance *inst,
	struct template_clone *clone, struct ramet_err *err)
{
	struct sandbox_pool *pool = record->pool;
	struct sandbox *next = record->next;
	clone->prepared = first && next && sandbox_alive(next);
	clone->sandbox_pidfd = clone->next_pidfd = -1;
	record->next = NULL;
	if (clone->prepared) {
		inst->sandbox = next;
	} else {
		sandbox_discard(next);
		int rc = pool ? sandbox_take(pool, &inst->sandbox, err) : 0;
		if (rc < 0)
			return rc;
		clone->sandbox_pidfd = inst->sandbox ? inst->sandbox->pidfd : -1;
	}
	record->next = pool ? sandbox_spare(pool) : NULL;
	clone->next_pidfd = record->next ? record->next->pidfd : -1;
	return 0;
}

/* the kernel gave neither process nor memory, and it is the function that has them */
static int tell_crowded(const struct spawn_template_record *record, int rc, struct ramet_err *err)
{
	if (rc != RAMET_EREFUSED || !record->of.group || (err->sys != EAGAIN && err->sys != ENOMEM))
		return rc;
	int sys = err->sys;
	err_set(err, RAMET_ELIMIT, "the processes of this function have reached their limit of %s",
		sys == EAGAIN ? "processes (limits.pids, limits.tenant.pids)"
			      : "memory (limits.mem, limits.tenant.memory)");
	err->sys = sys;
	return RAMET_ELIMIT;
}

static int clone_into_sandbox(struct spawn_template_record *record, struct template_clone *clone,
	struct instance *inst, struct timing *timing, pid_t *ret_pid, struct ramet_err *err)
{
	int rc = RAMET_EINTERNAL;
	for (int i = 0; i < ATTEMPTS; i++) {
		sandbox_discard(inst->sandbox);
		inst->sandbox = NULL;
		close_reset(&inst->uffd);
		uint64_t before = now_ns();
		rc = choose_sandboxes(record, i == 0, inst, clone, err);
		if (rc < 0)
			return rc;
		timing->begin_ns = now_ns();
		timing->sandbox_ns = timing->begin_ns - before;
		rc = clone_once(record, clone, inst, ret_pid, err);
		if (rc == RAMET_ETIMEOUT || rc == RAMET_EPROTO || rc == RAMET_EPEER) {
			/* its next answer would be taken for another's */
			child_kill(&record->child);
			if (inst->sandbox)
				sandbox_kill(inst->sandbox);
			break;
		}
		if (rc == 0 || !inst->sandbox || (err->sys != ENOMEM && err->sys != ESRCH))
			break;
	}
	return rc;
}

static int find_template(struct spawn_server *server, const struct spawn_request *request,
	struct spawn_template_record **ret_record, struct ramet_err *err)
{
	uint64_t id;
	if (request->nfds != 2)
		return err_set(err, RAMET_EPROTO, "clone: %u descriptors, not control and log",
			request->nfds);
	int rc = wire_get_uint(request->body, "tmpl", UINT64_MAX, &id, err);
	if (rc < 0)
		return rc;
	struct idmap_node *node = idmap_find(&server->templates, id);
	if (!node)
		return err_set(err, RAMET_ENOTFOUND, "no template %llu", (unsigned long long)id);
	*ret_record = idmap_entry(node, struct spawn_template_record, node);
	return 0;
}

/* a recorder's child that nobody follows: closing its userfaultfd lets it run as any other */
static void on_recorder_forked(struct loop_watch *watch, uint32_t events)
{
	struct instance *inst = container_of(watch, struct instance, watch);
	int child;
	while (template_read_fork(inst->uffd, 0, &child, NULL) == 0)
		close_reset(&child);
	if (events & (EPOLLERR | EPOLLHUP))
		loop_watch_remove(watch);
}

static int follow_recorder(struct instance *inst, struct ramet_err *err)
{
	int flags = fcntl(inst->uffd, F_GETFL);
	if (flags < 0 || fcntl(inst->uffd, F_SETFL, flags | O_NONBLOCK) < 0)
		return err_errno(err, RAMET_EIO, "make the userfaultfd non-blocking");
	return loop_watch_add(
		inst->server->loop, &inst->watch, inst->uffd, EPOLLIN, on_recorder_forked, err);
}

/* it runs, but cannot be served: it ends as if it had never been */
static int undo(struct instance *inst, int rc)
{
	instance_kill(inst);
	reaper_forget(inst->server->reaper, &inst->child);
	return rc;
}

static int answer(struct instance *inst, const struct spawn_request *request,
	const struct timing *timing, pid_t pid, bool recorder, struct ramet_err *err)
{
	int rc = recorder ? follow_recorder(inst, err) : 0;
	if (rc < 0)
		return undo(inst, rc);
	struct spawn_cloned cloned = {
		.req = request->req,
		.inst = inst->node.key,
		.begin_ns = timing->begin_ns,
		.us_sandbox = (uint32_t)(timing->sandbox_ns / NSEC_PER_USEC),
		.pid = pid,
		.uffd = recorder ? -1 : inst->uffd,
	};
	spawn_send_cloned(inst->server, &cloned);
	return 0;
}

int spawn_handle_clone(
	struct spawn_server *server, struct spawn_request *request, struct ramet_err *err)
{
	struct spawn_template_record *record;
	uint64_t populate[2 * TEMPLATE_MAX_POPULATE];
	struct template_clone clone = {.sandbox_pidfd = -1, .next_pidfd = -1, .populate = populate};
	struct timing timing = {0};
	uint64_t id = 0;
	bool ask_alone = false;
	pid_t pid = 0;
	int rc = find_template(server, request, &record, err);
	if (rc == 0)
		rc = wire_get_uint(request->body, "inst", UINT64_MAX, &id, err);
	if (rc == 0)
		rc = get_populate(request->body, populate, &clone.npopulate, err);
	if (rc == 0)
		rc = wire_get_bool_or(request->body, "alone", false, &ask_alone, err);
	if (rc < 0)
		return rc;
	clone.control_fd = request->fds[0];
	clone.log_fd = request->fds[1];
	clone.uid = record->of.uid;
	clone.drop = server->root || server->userns || geteuid() == 0;
	AUTO(instance_destroy) struct instance *inst = NULL;
	rc = instance_create(server, id, &inst, err);
	if (rc == 0)
		rc = clone_into_sandbox(record, &clone, inst, &timing, &pid, err);
	if (rc < 0)
		return tell_crowded(record, rc, err);
	inst->of.tenant = tenant_ref(record->of.tenant);
	inst->of.group = cgroup_ref(record->of.group);
	instance_begin(inst, pid);
	inst->ask_alone = ask_alone;
	rc = answer(inst, request, &timing, pid, record->recorder, err);
	if (rc == 0)
		(void)steal_ptr(&inst);
	return rc;
}
