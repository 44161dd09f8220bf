/* How instances end. A process is over when ramet-spawn has reaped it and its control socket has
 * hung up, so that what it said last (a result, a crash) is read before its death is judged. */
#include "cluster/instances_internal.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "cluster/node.h"
#include "runtime/spawn/spawn_client.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#define HANGUP_NS \
	(200 * NSEC_PER_MSEC) /* a process that forked may leave its socket open in a child */

void instance_add_log_tail(struct instance *inst, struct call_error *error)
{
	if (!inst->log || error->log_tail)
		return;
	char *tail = malloc(CALL_LOG_TAIL);
	if (!tail)
		return;
	error->log_tail_len = logring_tail(inst->log, tail, CALL_LOG_TAIL);
	error->log_tail = tail;
}

/* nobody asked for the end: say what the process died of */
static void judge(struct instance *inst, struct call_error *error)
{
	const char *what = inst->tag.function[0] ? inst->tag.function : inst->app->app;
	int sig = inst->crashed ? inst->crash_signal : inst->exit_signal;
	error->node = inst->owner->node->config.node;
	error->signal = sig;
	if (inst->crashed) {
		error->fault_address = inst->crash_address;
		err_set(&error->err, RAMET_ECRASH, "%s crashed: signal %d (%s) at address 0x%llx",
			what, sig, strsignal(sig), (unsigned long long)inst->crash_address);
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

static void finish_call_by_death(struct instance *inst)
{
	struct instance_result result = {.error = &inst->cause};
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
	if (!inst->ended_by_owner)
		instance_add_log_tail(inst, &inst->cause);
	inst->state = INSTANCE_ENDING;
	if (inst->call != 0)
		finish_call_by_death(inst);
	if (inst->parent)
		inst->parent->on_gone(inst->parent, inst);
	list_remove(&inst->link);
	inst->handler->on_gone(inst->user, inst, &inst->cause);
	frame_conn_close(inst->conn);
	logring_close(inst->log);
	app_version_put(inst->app);
	call_error_fini(&inst->cause);
	free(inst);
}

void instance_maybe_gone(struct instance *inst)
{
	if (inst->request == 0 && (inst->failed || (inst->reaped && !inst->conn)))
		gone(inst);
}

static void waited_for_hangup(struct loop_timer *timer)
{
	struct instance *inst = container_of(timer, struct instance, timer);
	frame_conn_close(steal_ptr(&inst->conn));
	instance_maybe_gone(inst);
}

void instance_on_exited(struct instance *inst, int status, int signal)
{
	inst->reaped = true;
	inst->exit_status = status;
	inst->exit_signal = signal;
	if (inst->conn &&
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

/* whoever said that it crashed may still be dying, and its own signal is what is told; but it may
 * also have lied */
void instance_on_hangup(struct instance *inst)
{
	frame_conn_close(steal_ptr(&inst->conn));
	if (!inst->reaped && inst->request == 0 && !inst->failed) {
		inst->state = INSTANCE_ENDING;
		if (!inst->crashed ||
			loop_timer_set(inst->owner->node->loop, &inst->timer,
				now_ns() + INSTANCE_EXIT_MS * NSEC_PER_MSEC, did_not_exit) < 0)
			kill_now(inst);
	}
	instance_maybe_gone(inst);
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
