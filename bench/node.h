/* The least of a node that a benchmark needs: ramet-spawn, the hosts and clones it makes, and the
 * seeds between them, driven from one thread. As in service: clones join a sandbox, drop their
 * rights and run under the system-call filter. */
#ifndef BENCH_NODE_H
#define BENCH_NODE_H

#include "base/err.h"
#include "base/list.h"
#include "base/loop.h"
#include "base/wire.h"
#include "rfork/capture.h"
#include "rfork/image.h"
#include "runtime/spawn/spawn_client.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define BENCH_UID 65534u

struct node {
	struct loop *loop;
	struct spawn_client *spawn;
	struct list procs; /* not reaped yet */
	uint64_t next;
	char store[64], bin[400];
};

/* programs lie beside the running one; sandboxes: kept ready, 0 for the default */
int node_open(struct node *node, unsigned sandboxes, struct ramet_err *err);
void node_close(struct node *node); /* a zeroed one is fine */
/* node_settle - turns the loop until that many sandboxes are ready */
int node_settle(struct node *node, unsigned sandboxes, struct ramet_err *err);

/* One host or clone. */
struct proc {
	struct list link;
	struct node *node;
	uint64_t inst, request;
	int control; /* our end */
	pid_t pid;
	int uffd;
	bool made, ended;
	struct ramet_err err; /* why it was not made */
	struct spawn_exit how;
	uint64_t asked_ns; /* when ramet-spawn was asked for it */
	uint64_t begin_ns; /* when its template was */
	uint64_t first_ns, hooks_ns; /* from its `started` */
	uint64_t ended_ns; /* when its end was told */
};

/* Python with the engine when lang is "python", else ramet-host; app: directory of the files */
int proc_host(struct node *node, const char *lang, const char *app, struct proc **ret_proc,
	struct ramet_err *err);
/* functions: pairs of name and handler, NULL-terminated */
int proc_load(
	struct proc *proc, const char *app, const char *const *functions, struct ramet_err *err);
/* proc_load_with - the same, with functions "FILE.LANG:SYMBOL" of another language than the host's;
 * engine: its shared object */
struct proc_language {
	const char *name, *engine;
};
int proc_load_with(struct proc *proc, const char *app, const char *const *functions,
	const struct proc_language *language, struct ramet_err *err);

/* proc_post - one call, not waited for; proc_result waits for its answer (malloc'ed, terminated) */
int proc_post(struct proc *proc, const char *function, const char *json, struct ramet_err *err);
int proc_result(struct proc *proc, char **ret_json, struct ramet_err *err);
int proc_call(struct proc *proc, const char *function, const char *json, char **ret_json,
	struct ramet_err *err);
int proc_post_exit(struct proc *proc, struct ramet_err *err);
int proc_wait_started(struct proc *proc, struct ramet_err *err);
int proc_wait_ended(struct proc *proc, struct ramet_err *err);
void proc_free(struct proc *proc); /* kills it if it lives */
DEFINE_CLEANUP(struct proc, proc_free)
#define auto_proc AUTO(proc_free)

/* proc_capture - the host's seed; ret_stall_ns as the host measured it */
int proc_capture(struct proc *proc, struct image **ret_image, struct capture_stats *ret_stats,
	uint64_t *ret_stall_ns, struct ramet_err *err);

struct tmpl_options {
	bool uffd, record;
};
/* node_template - its number, and what building took */
int node_template(struct node *node, const struct image *image, struct tmpl_options options,
	uint64_t *ret_tmpl, uint64_t *ret_us, struct ramet_err *err);

/* node_clone - asks for a clone; `before` frames, if any, are in its socket before it exists.
 * proc_wait_made() turns the loop until it exists. */
struct clone_options {
	const char *function, *json; /* one call that waits for it; NULL: none */
	bool exit; /* and then its end */
	const uint64_t (*populate)[2];
	unsigned npopulate;
};
int node_clone(struct node *node, uint64_t tmpl, const struct clone_options *options,
	struct proc **ret_proc, struct ramet_err *err);
int proc_wait_made(struct proc *proc, struct ramet_err *err);

#endif
