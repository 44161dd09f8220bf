/* The pool of sandboxes: each a PID and mount namespace of its own, made ahead of use by
 * ramet-sandbox and used once. Loop thread only. */
#ifndef RUNTIME_SPAWN_SANDBOX_H
#define RUNTIME_SPAWN_SANDBOX_H

#include "base/cleanup.h"
#include "base/err.h"
#include "base/list.h"
#include "base/loop.h"
#include "runtime/spawn/reaper.h"

#include <stdbool.h>

struct sandbox_pool;

struct sandbox {
	struct child init;
	int pidfd; /* of the init: what to join */
	struct sandbox_pool *pool;
	struct list link; /* in the pool while it is ready */
	bool discarded;
	uint64_t discarded_ns;
};

/* A path that is shown, and what was found there (O_PATH); -1: it is seen as it is. */
struct sandbox_data {
	const char *path;
	int fd;
};

/* its strings must live as long as the pool */
struct sandbox_options {
	const char *helper; /* path of ramet-sandbox */
	const char *store_dir; /* shown as /ramet; NULL: none */
	const char *hide_dir; /* not shown; NULL: none */
	unsigned target; /* sandboxes to keep ready */
	/* a mount that is attached nowhere, whose files are laid over the machine's own; it is open
	 * as long as the pool is. -1: none */
	int view_fd;
	const struct sandbox_data *data; /* lives as long as the pool */
	unsigned ndata;
};

/* sandbox_pool_create - starts the helper and waits until its root is made. RAMET_EPERM,
 * RAMET_ENOTSUP, RAMET_EIO: no sandboxes on this machine, and why. */
int sandbox_pool_create(struct loop *loop, struct reaper *reaper,
	const struct sandbox_options *options, struct sandbox_pool **ret_pool,
	struct ramet_err *err);
/* sandboxes in use live on until they are discarded; the other inits and the helper are killed, not
 * reaped; NULL is fine */
void sandbox_pool_destroy(struct sandbox_pool *pool);
DEFINE_CLEANUP(struct sandbox_pool, sandbox_pool_destroy)

/* sandbox_take - one that is ready; if there is none, waits for one to be made (about 0.2 ms). A
 * helper that has ended is started again. Use sandbox->pidfd; end with sandbox_discard(). */
int sandbox_take(struct sandbox_pool *pool, struct sandbox **ret_sandbox, struct ramet_err *err);
/* sandbox_spare - one to be used later, or NULL while that would leave few for others */
struct sandbox *sandbox_spare(struct sandbox_pool *pool);
/* sandbox_alive - false: its init has ended, and been reaped; it can only be discarded */
bool sandbox_alive(const struct sandbox *sandbox);
/* sandbox_kill - SIGKILL to every process in it, now; it is still the caller's */
void sandbox_kill(const struct sandbox *sandbox);
/* sandbox_discard - the same, but within 20 ms, when clones are made on and on; it must not be
 * touched any more; NULL is fine */
void sandbox_discard(struct sandbox *sandbox);
DEFINE_CLEANUP(struct sandbox, sandbox_discard)
unsigned sandbox_pool_ready(const struct sandbox_pool *pool);

#endif
