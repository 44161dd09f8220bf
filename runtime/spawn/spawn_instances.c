/* Running instances: one record each, from fork until it is reaped. */
#include "base/cleanup.h"
#include "base/log.h"
#include "runtime/host_proto.h"
#include "runtime/spawn/cold.h"
#include "runtime/spawn/spawn_internal.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define PROCESSES_AT 256 /* where a listing of /proc comes to them (FIRST_PROCESS_ENTRY) */
#define CROWD_PART 8 /* of all that its group may have: who has that much has its share in it */

void membership_put(struct membership *membership)
{
	tenant_put(membership->tenant);
	cgroup_put(membership->group);
	membership->tenant = NULL;
	membership->group = NULL;
}

int instance_create(
	struct spawn_server *server, uint64_t id, struct instance **ret_inst, struct ramet_err *err)
{
	if (idmap_find(&server->instances, id))
		return err_set(
			err, RAMET_EEXIST, "instance %llu is running", (unsigned long long)id);
	struct instance *inst = calloc(1, sizeof(*inst));
	if (!inst)
		return err_nomem(err);
	inst->server = server;
	inst->uffd = -1;
	inst->outcome = -1;
	idmap_add(&server->instances, &inst->node, id);
	*ret_inst = inst;
	return 0;
}

void instance_destroy(struct instance *inst)
{
	if (!inst)
		return;
	idmap_remove(&inst->server->instances, &inst->node);
	loop_watch_remove(&inst->watch);
	close_reset(&inst->outcome);
	close_reset(&inst->uffd);
	sandbox_discard(inst->sandbox);
	membership_put(&inst->of);
	free(inst);
}

/* --- the outcome of a cold start --- */

/* tells rametd once; false: it never ran */
static bool settle(struct instance *inst)
{
	struct ramet_err err = {0};
	int rc = cold_outcome(inst->outcome, inst->name, &err);
	if (rc == RAMET_EAGAIN)
		return true;
	loop_watch_remove(&inst->watch);
	close_reset(&inst->outcome);
	if (rc < 0)
		spawn_send_error(inst->server, inst->req, &err);
	else
		spawn_send_started(inst->server, inst);
	return rc == 0;
}

static void on_failed_exit(struct child *child, int wstatus, const struct rusage *usage)
{
	(void)wstatus, (void)usage;
	instance_destroy(container_of(child, struct instance, child));
}

static void on_outcome(struct loop_watch *watch, uint32_t events)
{
	(void)events;
	struct instance *inst = container_of(watch, struct instance, watch);
	if (!settle(inst))
		inst->child.fn = on_failed_exit; /* it is ending */
}

int instance_await(struct instance *inst, int outcome, struct ramet_err *err)
{
	inst->outcome = outcome;
	inst->pid = inst->child.pid;
	return loop_watch_add(inst->server->loop, &inst->watch, outcome, EPOLLIN, on_outcome, err);
}

/* --- running and ending --- */

/* processes and threads in a sandbox, by its own /proc */
static unsigned count_tasks(const struct sandbox *sandbox)
{
	char path[PATH_MAX];
	unsigned tasks = 0;
	snprintf(path, sizeof(path), "/proc/%d/root/proc", sandbox->init.pid);
	auto_closedir DIR *dir = sandbox->init.pid ? opendir(path) : NULL;
	for (const struct dirent *e = dir ? readdir(dir) : NULL; e; e = readdir(dir)) {
		struct stat st;
		int n = snprintf(path, sizeof(path), "%s/task", e->d_name);
		if (isdigit((unsigned char)e->d_name[0]) && n < (int)sizeof(path) &&
			fstatat(dirfd(dir), path, &st, 0) == 0)
			tasks += (unsigned)st.st_nlink - 2; /* each is a directory in it */
	}
	return tasks;
}

/* It is not for another one of its function that the group is full. */
static void look_for_crowd(struct instance *inst)
{
	bool tenant = false;
	unsigned limit = inst->crowded ? 0 : cgroup_full(inst->of.group, &tenant);
	inst->crowded |=
		limit > 0 && (!inst->sandbox || count_tasks(inst->sandbox) > limit / CROWD_PART);
	inst->tenant_crowded |= limit > 0 && tenant;
}

/* No process that it left is there, whoever its parent is (CLONE_PARENT makes it one of ours): the
 * init is listed, and nobody else. Names alone, which come in the order of ids: one that forks and
 * ends while we look is seen as its child. The other files of /proc, which come first, are passed
 * over; were they to end earlier, the init would not be seen. */
static bool is_alone(const struct instance *inst)
{
	_Alignas(struct dirent64) char list[1024];
	char path[64];
	bool init = false;
	ssize_t n = 0;
	if (!inst->sandbox || !inst->sandbox->init.pid)
		return false;
	snprintf(path, sizeof(path), "/proc/%d/root/proc", (int)inst->sandbox->init.pid);
	auto_close int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || lseek(fd, PROCESSES_AT, SEEK_SET) < 0)
		return false;
	while ((n = getdents64(fd, list, sizeof(list))) > 0) {
		for (ssize_t at = 0; at < n;) {
			const struct dirent64 *e = (const struct dirent64 *)(list + at);
			if (strcmp(e->d_name, "1") == 0)
				init = true;
			else if (isdigit((unsigned char)e->d_name[0]))
				return false;
			at += e->d_reclen;
		}
	}
	return init && n == 0;
}

static void on_reaped(struct child *child, int wstatus, const struct rusage *usage)
{
	struct instance *inst = container_of(child, struct instance, child);
	bool ran = inst->outcome < 0 || settle(inst);
	if (WIFSIGNALED(wstatus) && WTERMSIG(wstatus) == SIGKILL)
		look_for_crowd(inst);
	inst->alone = inst->ask_alone && WIFEXITED(wstatus) && is_alone(inst);
	if (inst->outcome >= 0) { /* it was killed on the way to exec */
		struct ramet_err err = {0};
		(void)err_set(
			&err, RAMET_ECRASH, "host %s died before it was executed", inst->name);
		spawn_send_error(inst->server, inst->req, &err);
		ran = false;
	}
	if (ran)
		spawn_send_exited(inst, wstatus, usage);
	instance_destroy(inst);
}

void instance_begin(struct instance *inst, pid_t pid)
{
	reaper_add(inst->server->reaper, &inst->child, pid, on_reaped);
}

void instance_kill(const struct instance *inst)
{
	if (inst->sandbox)
		sandbox_kill(inst->sandbox);
	else if (inst->child.pid)
		kill(-inst->child.pid, SIGKILL); /* a host leads its own process group */
	child_kill(&inst->child);
}

int spawn_handle_kill(
	struct spawn_server *server, struct spawn_request *request, struct ramet_err *err)
{
	uint64_t id;
	int rc = wire_get_uint(request->body, "inst", UINT64_MAX, &id, err);
	struct idmap_node *node = rc == 0 ? idmap_find(&server->instances, id) : NULL;
	if (!node)
		return rc;
	struct instance *inst = idmap_entry(node, struct instance, node);
	look_for_crowd(inst);
	inst->killed = true;
	instance_kill(inst);
	return rc;
}

int spawn_handle_interrupt(
	struct spawn_server *server, struct spawn_request *request, struct ramet_err *err)
{
	uint64_t id;
	int rc = wire_get_uint(request->body, "inst", UINT64_MAX, &id, err);
	struct idmap_node *node = rc == 0 ? idmap_find(&server->instances, id) : NULL;
	if (node)
		child_signal(
			&idmap_entry(node, struct instance, node)->child, HOST_INTERRUPT_SIGNAL);
	return rc;
}

void spawn_kill_instances(struct spawn_server *server)
{
	uint32_t bucket = 0;
	struct idmap_node *node;
	while ((node = idmap_any(&server->instances, &bucket))) {
		struct instance *inst = idmap_entry(node, struct instance, node);
		instance_kill(inst);
		reaper_forget(server->reaper, &inst->child);
		instance_destroy(inst);
	}
}
