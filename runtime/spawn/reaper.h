/* The children of ramet-spawn: whoever starts one registers it here and is told, once, when it has
 * been reaped. Nothing else in the process may wait for children. Loop thread only. */
#ifndef RUNTIME_SPAWN_REAPER_H
#define RUNTIME_SPAWN_REAPER_H

#include "base/cleanup.h"
#include "base/err.h"
#include "base/loop.h"
#include "runtime/spawn/idmap.h"

#include <stdbool.h>
#include <sys/resource.h>
#include <sys/types.h>

struct reaper;

/* Embedded in the record of a process. From reaper_add() until fn is called its pid cannot be used
 * again, so it may be signalled. */
struct child {
	struct idmap_node node;
	pid_t pid; /* 0: none, or reaped */
	void (*fn)(struct child *child, int wstatus,
		const struct rusage *usage); /* may free the record */
};

/* reaper_create - blocks SIGCHLD for good; children must unblock it before they exec */
int reaper_create(struct loop *loop, struct reaper **ret_reaper, struct ramet_err *err);
void reaper_destroy(struct reaper *reaper); /* tells nobody; NULL is fine */
DEFINE_CLEANUP(struct reaper, reaper_destroy)
void reaper_add(struct reaper *reaper, struct child *child, pid_t pid,
	void (*fn)(struct child *child, int wstatus, const struct rusage *usage));
/* reaper_forget - its end is not told; it is still reaped. A no-op on a reaped or zeroed child. */
void reaper_forget(struct reaper *reaper, struct child *child);
void child_kill(const struct child *child); /* SIGKILL; a no-op on a reaped or zeroed child */
void child_signal(const struct child *child, int signal); /* the same with another signal */
/* reaper_drain - wait until no child is left, registered or not, at most timeout_ms; true: none is
 */
bool reaper_drain(struct reaper *reaper, unsigned timeout_ms);

#endif
