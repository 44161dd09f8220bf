/* clang-format off */
/* What rametd and ramet-spawn say to each other: frames with descriptors, each one msgpack map with "t" = the type and,
 * in requests and their answers, "req" (uint). ramet-spawn trusts rametd; rametd checks what comes back all the same.
 *
 * rametd → ramet-spawn                                                                            descriptors
 *   host      {req, inst: uint, argv: [str], env: [str "K=V"], dir: str, tenant, group, limits}    control, log
 *             tenant: {uid, gid, name: str, mem?, pids?: uint, limits of all its groups}. group: str, a cgroup; "" or absent: none.
 *             limits: {mem: uint bytes, pids: uint, cpu: uint thousandths of a core, isolates?: bool}, of the group; 0 or absent: none.
 *             isolates: no code of the app runs but in isolates, and the process may ask little of the kernel (runtime/spawn/syscall_sets.h).
 *             dir: the working directory, a path of the machine; "" or absent: /. In the store directory it is seen
 *             below /ramet; below /tmp or /run it is bound at the same path, read-only; elsewhere it is seen as it is.
 *             view?: uint, as of template. bare?: bool: in no sandbox and none of the tenant's namespaces, where its user is at home.
 *             → started {req, inst, pid}
 *   view      {req, view: uint, tenant, data}                                                            control, manifest
 *             ramet-files is started with both (runtime/files/files_proto.h), and sandboxes in which the files of the
 *             manifest are laid over the machine's. One descriptor only, a directory: those below it are, instead; none:
 *             no files are. data?: [str], paths of this node that they show, read-only, as far as the tenant may read them.
 *             → viewed {req, view}. The end of ramet-files is seen at control's other end, and is the view's.
 *   unview    {view}   end it: its templates and instances before. No answer.
 *   template  {req, tmpl: uint, files: [str], tenant, group, limits, uffd: bool, record: bool,     descriptor, image
 *              mono_offset: int ns, boot_offset: int ns, view: uint}                              [base's image]
 *             files: a local path for each file of the descriptor, in its order, already checked to be the same file.
 *             view: its clones live in sandboxes of that view; 0 or absent: none.
 *             uffd: register userfaultfd on image pieces, missing pages. record: register write protection, for an exact
 *             working set; without uffd clones come without a userfaultfd: ramet-spawn reads their events.
 *             → built {req, tmpl, us: uint}
 *   clone     {req, tmpl, inst: uint, alone: bool, populate: [uint start, end, …]}                 control, log
 *             alone: whether it has left processes is asked at its end.
 *             populate: at most TEMPLATE_MAX_POPULATE ranges of pages, in order, to be populated for writing before
 *             it runs, where the kernel can (5.14); what is not mapped is passed over; absent: none.
 *             → cloned {req, inst, pid, us_sandbox: uint, begin: uint (monotonic ns,               [uffd]
 *                       request sent to the stub)}
 *   interrupt {inst}   HOST_INTERRUPT_SIGNAL to the instance's process. No answer.
 *   kill      {inst}   SIGKILL to everything in the instance's sandbox. No answer but the exited event.
 *   drop      {tmpl}   end the template (its instances live on)
 *   stats     {req} → stats {req, sandboxes: uint, templates: uint, instances: uint}
 *   A request that fails is answered by error {req, error: {code, sys, msg}} (wire_err).
 *
 * ramet-spawn → rametd, unasked
 *   hello     {userfaultfd, uffd_wp, timens, seccomp, sandbox, fuse: bool, cgroup: "v1"|"v2"|"none", detail: str}
 *             first of all, once it can serve; or, if it cannot, failed {error}, and it ends
 *   exited    {inst, status: int (exit code, or -1), signal: int (0 none), core: bool, utime_us, stime_us, maxrss_kb,
 *             alone: bool (asked for, and it exited and has left no process),
 *             limit: "memory"|"pids"|"tenant.memory"|"tenant.pids"|""}   limit: of its group, or its tenant's groups, that it had reached when it was killed
 *   gone      {tmpl, error}   a template died by itself
 */
#ifndef RUNTIME_SPAWN_PROTO_H
#define RUNTIME_SPAWN_PROTO_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define SPAWN_MAX_FRAME (1u << 20)
#define SPAWN_MAX_QUEUE (16u << 20)
#define SPAWN_NAME_MAX 192    /* of nodes, groups and tenants, with the terminating NUL */
#define SPAWN_INSIDE "/ramet" /* where a sandbox shows the store directory */
#define SPAWN_STORE_FILES "/files/" /* in the store directory: the content store */

struct spawn_limits { /* of a group, all its processes together; 0: none */
	uint64_t mem; /* bytes */
	uint32_t pids;
	uint32_t cpu; /* thousandths of a core */
	bool isolates; /* what the processes may ask of the kernel: of no tenant */
};
struct spawn_tenant {
	uid_t uid;
	gid_t gid;
	const char *name;
	struct spawn_limits limits; /* of all its groups together: mem, pids */
};

#endif
