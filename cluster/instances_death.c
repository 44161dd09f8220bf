/* How instances end. A process is over when ramet-spawn has reaped it and its control socket has
 * hung up, or, where we have its end, too, was read to its end: so that what it said last (a
 * result, a crash) comes before its death is judged. */
#include "cluster/instances_internal.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "cluster/node.h"
#include "runtime/spawn/spawn_client.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PROCESS_EXITING 0x4 /* PF_EXITING, in /proc/<pid>/stat */
#define LOOK_NS (20 * NSEC_PER_MSEC) /* whoever dies is dead by then, but for very large ones */
#define HANGUP_NS \
	(200 * NSEC_PER_MSEC) /* a process that forked may leave its socket open in a child */

void instance_add_log_tail(struct instance *inst, struct call_error *error)
{
	if (!inst->log || error->log_tail || logring_silent(inst->log))
		return;
	char *tail = malloc(CALL_LOG_TAIL);
	if (!tail)
		return;
	error->log_tail_len = logring_tail(inst->log, tail, CALL_LOG_TAIL);
	error->log_tail = tail;
}

static const char *name_of(const struct instance *inst)
{
	return inst->tag.function[0] ? inst->tag.function : inst->app->app;
}

static bool is_tenants(const struct instance *inst)
{
	return inst->exit_limit == SPAWN_LIMIT_TENANT_MEMORY ||
		inst->exit_limit == SPAWN_LIMIT_TENANT_PIDS;
}

static bool is_memory(const struct instance *inst)
{
	return inst->exit_limit == SPAWN_LIMIT_MEMORY ||
		inst->exit_limit == SPAWN_LIMIT_TENANT_MEMORY;
}

static bool is_pids(const struct instance *inst)
{
	return inst->exit_limit == SPAWN_LIMIT_PIDS || inst->exit_limit == SPAWN_LIMIT_TENANT_PIDS;
}

static void judge_memory(const struct instance *inst, struct call_error *error)
{
	const struct node *node = inst->owner->node;
	unsigned long long mem = inst->app->limits.mem;
	if (is_tenants(inst))
		err_set(&error->err, RAMET_ELIMIT,
			"the functions of user %u used more memory than one user's may on node %u "
			"(limits.tenant.memory of its configuration: %llu bytes), and the process "
			"of %s was killed",
			inst->app->uid, node->config.node,
			(unsigned long long)node->config.quota.memory, name_of(inst));
	else if (mem > 0)
		err_set(&error->err, RAMET_ELIMIT,
			"%s used more memory than its limit (limits.mem: %llu bytes), and its "
			"process was killed",
			name_of(inst), mem);
	else
		err_set(&error->err, RAMET_ELIMIT,
			"%s used more memory than node %u has for it, and its process was killed",
			name_of(inst), node->config.node);
}

/* nobody asked for the end: say what the process died of */
static void judge(struct instance *inst, struct call_error *error)
{
	const char *what = name_of(inst);
	int sig = inst->crashed ? inst->crash_signal : inst->exit_signal;
	error->node = inst->owner->node->config.node;
	error->signal = sig;
	if (inst->crashed) {
		error->fault_address = inst->crash_address;
		err_set(&error->err, RAMET_ECRASH, "%s crashed: signal %d (%s) at address 0x%llx%s",
			what, sig, strsignal(sig), (unsigned long long)inst->crash_address,
			inst->crash_stack ? ": its stack is full, as after endless recursion" : "");
	} else if (sig == SIGKILL && inst->hung_up) {
		err_set(&error->err, RAMET_ECRASH,
			"%s closed the descriptor by which it is called, and its process was "
			"killed",
			what);
	} else if (sig == SIGKILL && is_pids(inst)) {
		err_set(&error->err, RAMET_ECRASH, "its process was killed"); /* see below */
	} else if (sig == SIGKILL && is_memory(inst)) {
		judge_memory(inst, error);
	} else if (sig == SIGKILL) {
		err_set(&error->err, RAMET_ELOST,
			"the process of %s was killed (out of memory, or by somebody)", what);
		error->retryable = true;
	} else if (sig > 0) {
		err_set(&error->err, RAMET_ECRASH, "%s crashed: signal %d (%s)", what, sig,
			strsignal(sig));
	} else {
		err_set(&error->err, RAMET_ECRASH,
			"the process of %s ended by itself with status %d", what,
			inst->exit_status);
	}
}

/* What it was killed for may be but what follows from having no process left to make: a fork bomb
 * neither ends nor lets itself be ended. */
static void blame_processes(struct instance *inst)
{
	struct call_error *cause = &inst->cause;
	if (!is_pids(inst) || inst->ended_by_owner ||
		(cause->err.code != RAMET_EDEADLINE && cause->err.code != RAMET_ECRASH))
		return;
	const struct node *node = inst->owner->node;
	cause->err.code = RAMET_ELIMIT;
	if (is_tenants(inst))
		err_prefix(&cause->err,
			"user %u has as many processes as one may have on node %u "
			"(limits.tenant.pids of its configuration: %u)",
			inst->app->uid, node->config.node, node->config.quota.pids);
	else
		err_prefix(&cause->err,
			"%s has as many processes as its limit allows (limits.pids: %u)",
			name_of(inst), (unsigned)inst->app->limits.pids);
}

static void finish_call_by_death(struct instance *inst)
{
	struct instance_result result = {
		.error = &inst->cause, .run_ns = now_ns() - inst->call_began_ns};
	instance_finish_call(inst, &result);
}

static void gone(struct instance *inst)
{
	loop_timer_cancel(&inst->timer);
	if (inst->cause.err.code == 0) {
		if (inst->ended_by_owner)
			err_set(&inst->cause.err, RAMET_ECLOSED, "ended");
		else
			judge(inst, &inst->cause);
	}
	blame_processes(inst);
	if (!inst->ended_by_owner)
		instance_add_log_tail(inst, &inst->cause);
	inst->state = INSTANCE_ENDING;
	if (inst->log)
		logring_ask(
			inst->log, NULL, NULL); /* whoever it was lent to may be gone after this */
	if (inst->call != 0)
		finish_call_by_death(inst);
	if (inst->parent)
		inst->parent->on_gone(inst->parent, inst);
	list_remove(&inst->link);
	instance_close_channels(inst); /* before the next one is started in its place */
	inst->handler->on_gone(inst->user, inst, &inst->cause);
	app_version_put(inst->app);
	call_error_fini(&inst->cause);
	free(inst);
}

void instance_maybe_gone(struct instance *inst)
{
	if (inst->request == 0 &&
		(inst->failed || (inst->reaped && (!inst->conn || inst->channels))))
		gone(inst);
}

static void waited_for_hangup(struct loop_timer *timer)
{
	struct instance *inst = container_of(timer, struct instance, timer);
	frame_conn_close(steal_ptr(&inst->conn));
	instance_maybe_gone(inst);
}

void instance_on_exited(struct instance *inst, const struct spawn_exit *how)
{
	if (inst->conn && inst->channels && !inst->failed)
		frame_receive(inst->conn); /* we have its end, too: there is no end of the stream */
	inst->reaped = true;
	inst->exit_status = how->status;
	inst->exit_signal = how->signal;
	inst->exit_limit = how->limit;
	inst->alone = how->alone;
	if (inst->conn && !inst->channels &&
		loop_timer_set(inst->owner->node->loop, &inst->timer, now_ns() + HANGUP_NS,
			waited_for_hangup) < 0)
		frame_conn_close(steal_ptr(&inst->conn));
	instance_maybe_gone(inst);
}

static void give_up(struct loop_timer *timer)
{
	struct instance *inst = container_of(timer, struct instance, timer);
	frame_conn_close(steal_ptr(&inst->conn));
	inst->failed = true;
	instance_maybe_gone(inst);
}

static void spawn_never_told(struct loop_timer *timer)
{
	const struct instance *inst = container_of(timer, struct instance, timer);
	log_warn("instance.unreaped", "instance=%llu pid=%d", (unsigned long long)inst->id,
		(int)inst->pid);
	give_up(timer);
}

/* SIGKILL; the answer is its exited event, for which we do not wait for ever, and not at all if it
 * was not made yet: ramet-spawn does first what it was asked first */
static void kill_now(struct instance *inst)
{
	struct node *node = inst->owner->node;
	if (inst->reaped || inst->failed)
		return;
	spawn_kill(node->spawn, inst->id);
	if (inst->request != 0) { /* its answer may still come, and finds nobody then */
		spawn_forget(node->spawn, inst->request);
		inst->request = 0;
		inst->failed = true;
		(void)loop_timer_set(node->loop, &inst->timer, now_ns(), give_up);
		return;
	}
	(void)loop_timer_set(node->loop, &inst->timer, now_ns() + INSTANCE_START_MS * NSEC_PER_MSEC,
		spawn_never_told);
}

void instance_kill(struct instance *inst, const struct ramet_err *why)
{
	if (inst->state == INSTANCE_ENDING && inst->cause.err.code != 0)
		return;
	if (inst->cause.err.code == 0 && !inst->ended_by_owner)
		call_error_set(&inst->cause, why, inst->owner->node->config.node);
	inst->state = INSTANCE_ENDING;
	kill_now(inst);
}

void instance_fail(struct instance *inst, const struct ramet_err *why)
{
	instance_kill(inst, why);
}

static void did_not_exit(struct loop_timer *timer)
{
	kill_now(container_of(timer, struct instance, timer));
}

/* Its sockets are closed by the kernel while it dies, or by itself. */
static bool is_dying(const struct instance *inst)
{
	char path[64], text[512];
	unsigned flags = 0;
	char state = 'X';
	snprintf(path, sizeof(path), "/proc/%d/stat", (int)inst->pid);
	auto_fclose FILE *f = fopen(path, "re");
	size_t n = f ? fread(text, 1, sizeof(text) - 1, f) : 0;
	text[n] = '\0';
	const char *after_name = strrchr(text, ')');
	if (!after_name || sscanf(after_name, ") %c %*d %*d %*d %*d %*d %u", &state, &flags) != 2)
		return true;
	return state == 'Z' || state == 'X' || flags & PROCESS_EXITING;
}

static void wait_for_exit(
	struct instance *inst, uint64_t ns, void (*over)(struct loop_timer *timer))
{
	if (loop_timer_set(inst->owner->node->loop, &inst->timer, now_ns() + ns, over) < 0)
		kill_now(inst);
}

static void still_there(struct loop_timer *timer)
{
	struct instance *inst = container_of(timer, struct instance, timer);
	if (is_dying(inst)) {
		wait_for_exit(inst, INSTANCE_EXIT_MS * NSEC_PER_MSEC, did_not_exit);
		return;
	}
	inst->hung_up = inst->left;
	kill_now(inst);
}

/* Whoever dies does so of its own signal, which is what is told; but that it said that it crashed
 * may be a lie. */
void instance_on_hangup(struct instance *inst)
{
	frame_conn_close(steal_ptr(&inst->conn));
	if (!inst->reaped && inst->request == 0 && !inst->failed) {
		inst->left = inst->state != INSTANCE_ENDING;
		inst->state = INSTANCE_ENDING;
		if (inst->crashed)
			wait_for_exit(inst, INSTANCE_EXIT_MS * NSEC_PER_MSEC, did_not_exit);
		else
			wait_for_exit(inst, LOOK_NS, still_there);
	}
	instance_maybe_gone(inst);
}

void instance_look(struct instance *inst)
{
	if (inst->state != INSTANCE_LEASED || instance_has_control(inst) || is_dying(inst))
		return;
	inst->state = INSTANCE_ENDING;
	inst->hung_up = true;
	kill_now(inst);
}

void instance_leaves(struct instance *inst)
{
	inst->state = INSTANCE_ENDING;
	if (loop_timer_set(inst->owner->node->loop, &inst->timer,
		    now_ns() + INSTANCE_EXIT_MS * NSEC_PER_MSEC, did_not_exit) < 0)
		kill_now(inst);
}

void instance_end(struct instance *inst)
{
	if (inst->ended_by_owner)
		return;
	bool polite = inst->state == INSTANCE_IDLE && inst->conn;
	inst->ended_by_owner = true;
	inst->call = 0;
	if (inst->state == INSTANCE_ENDING)
		return; /* it is dying already; only what its owner hears has changed */
	inst->state = INSTANCE_ENDING;
	CLEANUP(buf_fini) struct buf b = {0};
	wire_map(&b, 1);
	wire_kstr(&b, "t", "exit");
	if (!polite || wire_end(&b, NULL) < 0 ||
		frame_send(inst->conn, b.data, b.len, NULL, 0) < 0 ||
		loop_timer_set(inst->owner->node->loop, &inst->timer,
			now_ns() + INSTANCE_EXIT_MS * NSEC_PER_MSEC, did_not_exit) < 0)
		kill_now(inst);
}
