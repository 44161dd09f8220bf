/* rametd's side of ramet-spawn (runtime/spawn_proto.h): starts it, sends requests, matches answers.
 * Asynchronous, on one loop; only that loop's thread calls, no callback comes from within a call,
 * and any number of requests may be in flight. Once it is lost, all that it made is dead. */
#ifndef RUNTIME_SPAWN_SPAWN_CLIENT_H
#define RUNTIME_SPAWN_SPAWN_CLIENT_H

#include "base/cleanup.h"
#include "base/err.h"
#include "base/loop.h"
#include "runtime/spawn_proto.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define SPAWN_START_MS 10000 /* until hello */

struct spawn_client;

/* What ramet-spawn found on this machine; from its hello. */
struct spawn_caps {
	bool userfaultfd; /* with EVENT_FORK and faults from the kernel: pages may come late */
	bool uffd_wp; /* exact recording of working sets */
	bool timens; /* clocks of clones continue their parent's */
	bool seccomp;
	bool sandbox; /* own PID and mount namespaces */
	bool fuse; /* views whose files come later */
	char cgroup[8]; /* "v1", "v2", "none" */
	char detail[512]; /* for people: what is missing and why, "; " between; "" nothing */
};

/* of a group, or of all groups of a tenant together */
enum spawn_limit {
	SPAWN_LIMIT_NONE,
	SPAWN_LIMIT_MEMORY,
	SPAWN_LIMIT_PIDS,
	SPAWN_LIMIT_TENANT_MEMORY,
	SPAWN_LIMIT_TENANT_PIDS
};

struct spawn_exit {
	int status; /* exit code, or -1 */
	int signal; /* 0: none */
	bool core;
	enum spawn_limit limit; /* that its group had reached when it was killed */
	bool alone; /* asked for, of a clone that exited: none of its processes was left */
	uint64_t utime_us, stime_us, maxrss_kb;
};

struct spawn_handler {
	/* an instance was reaped; after the completion of the request that made it, exactly once */
	void (*on_exited)(void *user, uint64_t inst, const struct spawn_exit *how);
	/* a template died by itself; its instances live on */
	void (*on_gone)(void *user, uint64_t tmpl, const struct ramet_err *why);
	/* ramet-spawn ended or broke the protocol: every request in flight has been completed with
	 * RAMET_EPEER, no on_exited comes any more. Once. */
	void (*on_lost)(void *user, const struct ramet_err *why);
};

struct spawn_options {
	const char *spawn_path; /* ramet-spawn */
	const char *stub_path; /* ramet-stub */
	const char
		*store_dir; /* absolute; instances see it read-only as SPAWN_INSIDE. NULL: none */
	const char *hide_dir; /* absolute; instances see nothing of it. NULL: none */
	const char *node_name; /* names cgroups: letters, digits, '.', '_', '-' */
	unsigned sandboxes; /* kept ready; 0: the default */
	unsigned stubs; /* kept ready; 0: the default */
	const char *log_level; /* of ramet-spawn, on our standard error; NULL: warn */
};

/* spawn_client_start - call before the process has threads. Blocks until ramet-spawn says hello:
 * its errors come back here. handler may be NULL until spawn_client_handle(); it is not copied. */
int spawn_client_start(struct loop *loop, const struct spawn_options *options,
	const struct spawn_handler *handler, void *user, struct spawn_client **ret_client,
	struct ramet_err *err);
/* spawn_client_stop - everything that ramet-spawn made is dead and it is reaped when this returns
 * (at most a few seconds). No callbacks. NULL is fine; not from a callback of its own. */
void spawn_client_stop(struct spawn_client *client);
DEFINE_CLEANUP(struct spawn_client, spawn_client_stop)
/* spawn_client_handle - who is told from now on; before the loop runs */
void spawn_client_handle(
	struct spawn_client *client, const struct spawn_handler *handler, void *user);
const struct spawn_caps *spawn_client_caps(const struct spawn_client *client);
pid_t spawn_client_pid(const struct spawn_client *client);

/* Paths of the store as instances see them and back. Paths outside the store, and all paths where
 * there is no sandbox, are the same on both sides. RAMET_ELIMIT: dst is too small. */
int spawn_path_inside(const struct spawn_client *client, const char *path, char *dst, size_t cap,
	struct ramet_err *err);
int spawn_path_outside(const struct spawn_client *client, const char *path, char *dst, size_t cap,
	struct ramet_err *err);

/* The outcome of a request. What was not made is 0 or -1. Descriptors are closed after the callback
 * unless taken (set to -1, as with frames). */
struct spawn_result {
	struct ramet_err err; /* code 0: it succeeded */
	pid_t pid; /* hosts and clones */
	int uffd; /* clones of templates with uffd: the clone's userfaultfd */
	uint64_t begin_ns; /* clones: monotonic, when the request went to the stub */
	uint32_t us_sandbox; /* clones: what getting a sandbox took */
	uint32_t us; /* templates: what building took */
	uint64_t sandboxes, templates, instances; /* stats: ready, alive, alive */
};
/* done is called once for each request that was accepted, unless it is forgotten or the client
 * stopped. */
#define SPAWN_DONE(name) void (*name)(void *user, struct spawn_result *result)

/* Every request returns 0 and its number (ret_req may be NULL), or fails at once: RAMET_EAGAIN (too
 * much is queued), RAMET_ECLOSED (lost), RAMET_EINVAL, RAMET_ENOMEM. Descriptors and strings stay
 * the caller's. */

/* A cold host: argv is executed with stdin /dev/null, stdout and stderr log_fd, HOST_CONTROL_FD
 * control_fd, nothing else. Completes when exec succeeded. */
struct spawn_host {
	uint64_t inst; /* the caller's number for it, unique among the living */
	const char *const
		*argv; /* NULL-terminated; argv[0] is an absolute path as instances see it */
	const char *const *env; /* NULL-terminated "K=V"; NULL: empty */
	const char *dir; /* its working directory, a path of this node (translated if it is in the
			    store); NULL: / */
	struct spawn_tenant tenant;
	const char *group; /* cgroup leaf, named as nodes are; NULL or "": none */
	struct spawn_limits limits;
	int control_fd, log_fd;
	uint64_t view; /* it sees that view's files; 0: the machine's only */
	bool bare; /* in no sandbox, and the machine's network: what is made for its user */
};
int spawn_host(struct spawn_client *client, const struct spawn_host *host, SPAWN_DONE(done),
	void *user, uint64_t *ret_req, struct ramet_err *err);

/* A template of a seed. Completes when it can be cloned. */
struct spawn_template {
	uint64_t tmpl; /* the caller's number for it */
	int desc_fd, image_fd;
	bool layered; /* the descriptor has a base, whose image is base_fd */
	int base_fd;
	const char *const
		*files; /* paths of this node, one for each file of the descriptor, in order */
	uint32_t nfiles;
	struct spawn_tenant tenant;
	const char *group;
	struct spawn_limits limits;
	bool uffd; /* pages may be missing */
	/* for working_set_record() of a clone after its call; its userfaultfd is not handed over
	 * (but with uffd too) */
	bool record;
	int64_t mono_offset_ns, boot_offset_ns;
	uint64_t view; /* its clones see that view's files; 0: the machine's only */
};
int spawn_template(struct spawn_client *client, const struct spawn_template *tmpl, SPAWN_DONE(done),
	void *user, uint64_t *ret_req, struct ramet_err *err);

struct spawn_clone {
	uint64_t tmpl, inst;
	int control_fd, log_fd;
	const uint64_t *populate; /* ranges of pages {start, end}, in order, to populate for writing
				     before it runs; from working_set_populate() */
	uint32_t npopulate; /* pairs, at most TEMPLATE_MAX_POPULATE */
	bool ask_alone; /* spawn_exit.alone is wanted */
};
int spawn_clone(struct spawn_client *client, const struct spawn_clone *clone, SPAWN_DONE(done),
	void *user, uint64_t *ret_req, struct ramet_err *err);

/* Files laid over the machine's, for templates: those of a manifest, shown by a process of its own
 * that asks control_fd's other end for their content (runtime/files/files_proto.h), or those below
 * a directory. Completes when templates can be built. */
struct spawn_view {
	uint64_t view; /* the caller's number for it, not 0 */
	struct spawn_tenant tenant;
	int control_fd, manifest_fd; /* or -1, and */
	int dir_fd; /* this one; or all -1: the machine's files only, and */
	const char *const *data; /* paths of this node that are shown, too */
	uint32_t ndata;
};
int spawn_view(struct spawn_client *client, const struct spawn_view *view, SPAWN_DONE(done),
	void *user, uint64_t *ret_req, struct ramet_err *err);
/* spawn_unview - end it, and it is not to be used any more; also one that is being made. No answer.
 */
void spawn_unview(struct spawn_client *client, uint64_t view);

int spawn_stats(struct spawn_client *client, SPAWN_DONE(done), void *user, uint64_t *ret_req,
	struct ramet_err *err);

/* spawn_forget - done is not called any more; an instance or template that is made all the same is
 * ended, and its end is not told. Unknown numbers are fine. */
void spawn_forget(struct spawn_client *client, uint64_t req);
/* spawn_kill - SIGKILL to all processes of an instance; on_exited follows. Unknown ones are fine.
 */
void spawn_kill(struct spawn_client *client, uint64_t inst);
/* spawn_interrupt - the signal that has a host look whether its call is cancelled. Unknown ones are
 * fine. */
void spawn_interrupt(struct spawn_client *client, uint64_t inst);
/* spawn_drop - end a template; its instances live on. No answer. */
void spawn_drop(struct spawn_client *client, uint64_t tmpl);

#endif
