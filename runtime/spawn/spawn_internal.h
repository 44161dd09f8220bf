/* The state of ramet-spawn, shared by spawn_*.c. Nothing else includes it. */
#ifndef RUNTIME_SPAWN_SPAWN_INTERNAL_H
#define RUNTIME_SPAWN_SPAWN_INTERNAL_H

#include "base/frame.h"
#include "base/list.h"
#include "base/loop.h"
#include "base/wire.h"
#include "runtime/spawn/cgroup.h"
#include "runtime/spawn/idmap.h"
#include "runtime/spawn/probe.h"
#include "runtime/spawn/reaper.h"
#include "runtime/spawn/sandbox.h"
#include "runtime/spawn/spawn_data.h"
#include "runtime/spawn/spawn_server.h"
#include "runtime/spawn/syscall_filter.h"
#include "runtime/spawn/tenant.h"
#include "runtime/spawn_proto.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>

struct template;

struct spawn_server {
	struct spawn_config config;
	struct loop *loop;
	struct frame_conn *conn;
	struct reaper *reaper;
	struct sandbox_pool *pool; /* NULL: no sandboxes here */
	struct tenants *tenants; /* NULL with pool */
	struct cgroups *cgroups;
	struct syscall_filter seccomp[SYSCALL_SETS];
	struct probe probe;
	char missing[512];
	struct rlimit nofile; /* as it was before we raised ours: what instances get */
	bool root; /* may become any uid */
	bool userns; /* not root, but in a user namespace of our own */

	struct idmap instances, templates, views; /* by the caller's numbers */
	bool fuse; /* views can be files that have not come yet */
	struct list stubs; /* started, waiting */
	unsigned nstubs;
	struct loop_timer stub_refill;
	struct buf out; /* of the message being written */
};

/* Sandboxes in which files of a seed are laid over the machine's. */
struct spawn_view_record {
	struct idmap_node node; /* key: view */
	struct spawn_server *server;
	struct child files; /* ramet-files; pid 0: none, or it ended */
	int mount_fd; /* attached nowhere */
	struct spawn_data data; /* that its sandboxes show */
	struct sandbox_pool *pool; /* NULL: there are no sandboxes, and it has data only */
};

/* Who a process belongs to: what its instance or template holds on to. */
struct membership {
	uid_t uid;
	gid_t gid;
	struct tenant *tenant; /* NULL: no namespaces */
	struct cgroup *group; /* NULL: no limits */
	bool isolates; /* of the request's limits */
};
void membership_put(struct membership *membership);

struct instance {
	struct child child;
	struct idmap_node node; /* key: inst */
	struct spawn_server *server;
	struct membership of;
	struct sandbox *sandbox; /* NULL: none */
	bool killed; /* we were asked to */
	bool ask_alone, alone; /* whether it left nothing, at its end */
	bool crowded; /* its group was full of processes when it was killed */
	bool tenant_crowded; /* that of all groups of its tenant was */
	int uffd; /* -1: none. Kept so that no page is ever made up if the pager goes first. */
	/* cold hosts until the outcome of exec is known: */
	int outcome; /* -1: known */
	pid_t pid;
	struct loop_watch watch;
	uint64_t req;
	char name[64];
};

/* A request: its body, and descriptors that are closed after it unless taken (set to -1). */
struct spawn_request {
	const struct wire_value *body;
	uint64_t req;
	int *fds;
	unsigned nfds;
};

/* --- spawn_requests.c: the messages --- */
void spawn_on_frame(void *user, const unsigned char *data, size_t len, int *fds, unsigned nfds);
void spawn_send_hello(struct spawn_server *server);
void spawn_send_failed(struct spawn_server *server, const struct ramet_err *error);
void spawn_send_started(struct spawn_server *server, const struct instance *inst);
void spawn_send_exited(const struct instance *inst, int wstatus, const struct rusage *usage);
void spawn_send_gone(struct spawn_server *server, uint64_t tmpl, const struct ramet_err *why);
void spawn_send_error(struct spawn_server *server, uint64_t req, const struct ramet_err *error);
struct spawn_cloned {
	uint64_t req, inst;
	uint64_t begin_ns;
	uint32_t us_sandbox;
	pid_t pid;
	int uffd; /* -1: none */
};
void spawn_send_cloned(struct spawn_server *server, const struct spawn_cloned *cloned);
void spawn_send_viewed(struct spawn_server *server, uint64_t req, uint64_t view);
void spawn_send_built(struct spawn_server *server, uint64_t req, uint64_t tmpl, uint64_t us);

/* --- spawn_fields.c: what requests are made of --- */
/* the request's tenant, group and limits; *ret_of is to be put */
int spawn_get_membership(struct spawn_server *server, const struct wire_value *body,
	struct membership *ret_of, struct ramet_err *err);
/* an array of strings as one NULL-terminated allocation, to be freed; key absent: an empty one */
int spawn_get_strings(const struct wire_value *body, const char *key, char ***ret_strings,
	uint32_t *ret_count, struct ramet_err *err);

/* --- spawn_views.c --- */
bool spawn_can_fuse(void);
int spawn_handle_view(
	struct spawn_server *server, struct spawn_request *request, struct ramet_err *err);
int spawn_handle_unview(
	struct spawn_server *server, struct spawn_request *request, struct ramet_err *err);
void spawn_drop_views(struct spawn_server *server);
/* the pool that a template's clones take sandboxes from: the view's, or with view 0 the server's */
int spawn_view_pool(struct spawn_server *server, uint64_t view, struct sandbox_pool **ret_pool,
	struct ramet_err *err);

/* --- spawn_hosts.c --- */
int spawn_handle_host(
	struct spawn_server *server, struct spawn_request *request, struct ramet_err *err);

/* --- spawn_instances.c --- */
int instance_create(struct spawn_server *server, uint64_t id, struct instance **ret_inst,
	struct ramet_err *err);
/* before instance_begin(): undo instance_create() and what was put in the record; NULL is fine */
void instance_destroy(struct instance *inst);
DEFINE_CLEANUP(struct instance, instance_destroy)
/* it runs as pid: from now on the reaper owns the record */
void instance_begin(struct instance *inst, pid_t pid);
/* watch for the outcome of a cold start */
int instance_await(struct instance *inst, int outcome, struct ramet_err *err);
void instance_kill(const struct instance *inst);
void spawn_kill_instances(struct spawn_server *server);
int spawn_handle_interrupt(
	struct spawn_server *server, struct spawn_request *request, struct ramet_err *err);
int spawn_handle_kill(
	struct spawn_server *server, struct spawn_request *request, struct ramet_err *err);

/* --- spawn_templates.c, spawn_clones.c, spawn_stubs.c --- */
int spawn_handle_template(
	struct spawn_server *server, struct spawn_request *request, struct ramet_err *err);
int spawn_handle_clone(
	struct spawn_server *server, struct spawn_request *request, struct ramet_err *err);
int spawn_handle_drop(
	struct spawn_server *server, struct spawn_request *request, struct ramet_err *err);
void spawn_drop_templates(struct spawn_server *server);
/* a stub that waits, or a new one; its pid is not registered with the reaper any more: register it
 * at once */
int spawn_take_stub(struct spawn_server *server, struct template **ret_stub, struct ramet_err *err);
void spawn_refill_stubs(struct spawn_server *server); /* later, when it is quiet */
void spawn_drop_stubs(struct spawn_server *server);

#endif
