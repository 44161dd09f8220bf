/* What a running node finds missing: see doctor.h. */
#include "cluster/doctor.h"

#include "base/cleanup.h"
#include "cluster/calls.h"
#include "cluster/members.h"
#include "cluster/node.h"
#include "cluster/segments.h"
#include "rfork/landlock.h"
#include "runtime/spawn/spawn_client.h"
#include "transport/rdma_advice.h"
#include "transport/verbs_device.h"

#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LOW_DISK_BYTES (1ull << 30)

struct check {
	const char *state; /* "ok", "warn", "missing" */
	char detail[512];
	const char *remedy, *cost;
};

static void ok(struct check *check, const char *detail)
{
	check->state = "ok";
	snprintf(check->detail, sizeof(check->detail), "%s", detail);
	check->remedy = check->cost = "";
}

static void lacks(struct check *check, const char *state, const char *detail, const char *remedy,
	const char *cost)
{
	check->state = state;
	snprintf(check->detail, sizeof(check->detail), "%s", detail);
	check->remedy = remedy;
	check->cost = cost;
}

static void check_pager(const struct node *node, struct check *check)
{
	if (!node->self.eager)
		ok(check, "uffd: pages of remote forks are read on demand");
	else if (node->config.pager == PAGER_EAGER)
		lacks(check, "warn", "eager, as configured", "pager: auto",
			"remote forks start after all pages have come");
	else
		lacks(check, "missing", "eager: userfaultfd with EVENT_FORK is refused",
			"run rametd as root, or with CAP_SYS_PTRACE and "
			"vm.unprivileged_userfaultfd=1",
			"remote forks start after all pages have come");
}

static void check_sandbox(const struct node *node, struct check *check)
{
	const struct spawn_caps *caps = spawn_client_caps(node->spawn);
	if (caps->sandbox)
		ok(check, "own PID and mount namespace for each instance");
	else
		lacks(check, "missing", caps->detail,
			"run rametd as root, or set user.max_user_namespaces above 0",
			"instances see the machine's processes and files");
}

static void check_seccomp(const struct node *node, struct check *check)
{
	if (spawn_client_caps(node->spawn)->seccomp)
		ok(check, "system-call filter");
	else
		lacks(check, "warn", "instances run without a system-call filter",
			"build with libseccomp",
			"instances can make any system call their user may");
}

static void check_landlock(const struct node *node, struct check *check)
{
	(void)node;
	long version = syscall(LANDLOCK_NR_CREATE, NULL, 0, LANDLOCK_ASK_VERSION);
	if (version >= 1)
		ok(check, "apps of isolates read files, and no more");
	else
		lacks(check, "ok",
			"without Landlock apps of isolates have the system-call filter alone",
			"boot with lsm=landlock,… (Linux 5.13)",
			"nothing that is known: the filter refuses the same, and more");
}

static void check_clocks(const struct node *node, struct check *check)
{
	if (spawn_client_caps(node->spawn)->timens)
		ok(check, "clones continue their parent's clocks");
	else
		lacks(check, "warn", "no time namespaces", "root, and a kernel with CONFIG_TIME_NS",
			"monotonic clocks jump in remote forks");
}

static void check_limits(const struct node *node, struct check *check)
{
	const char *cgroup = spawn_client_caps(node->spawn)->cgroup;
	if (strcmp(cgroup, "none") != 0)
		ok(check, cgroup);
	else
		lacks(check, "warn", "control groups cannot be written",
			"run rametd as root, or delegate a group to it (systemd: Delegate=yes)",
			"memory and process limits are not enforced by the kernel");
}

/* what one tenant may have, and who has that much */
static void check_tenants(const struct node *node, struct check *check)
{
	const struct tenant_quota *quota = &node->config.quota;
	struct calls_pinched pinched;
	char detail[320];
	calls_get_pinched(node->calls, &pinched);
	if (!quota->memory && !quota->cache && !quota->pids && !quota->instances) {
		ok(check, "no quotas (limits.tenant): any user may take all of this node");
		return;
	}
	snprintf(detail, sizeof(detail),
		"each may have, 0 is no limit: memory %llu MiB, cache %llu MiB, pids %u, instances "
		"%u, queue %u; %u of %u have all their instances, %u calls wait",
		(unsigned long long)quota->memory >> 20, (unsigned long long)quota->cache >> 20,
		quota->pids, quota->instances, quota->queue, pinched.full, pinched.tenants,
		pinched.waiting);
	if ((quota->memory || quota->pids) &&
		strcmp(spawn_client_caps(node->spawn)->cgroup, "none") == 0)
		lacks(check, "missing", detail,
			"run rametd as root, or delegate a control group to it",
			"limits.tenant.memory and limits.tenant.pids are not enforced");
	else if (pinched.waiting > 0)
		lacks(check, "warn", detail, "limits.tenant of this node's configuration",
			"calls wait for instances of their own user to end");
	else
		ok(check, detail);
}

static void check_transport(const struct node *node, struct check *check)
{
	char detail[160];
	struct verbs_port_info port;
	snprintf(detail, sizeof(detail), "%s on %s", node->self.transport, node->self.data);
	if (strstr(node->self.transport, "verbs"))
		ok(check, detail);
	else if (strcmp(node->config.transport, "tcp") == 0)
		lacks(check, "warn", detail, "transport: auto", "pages travel over TCP");
	else if (!verbs_built())
		lacks(check, "warn", detail,
			"build with libibverbs and librdmacm (libibverbs-dev, librdmacm-dev)",
			"pages travel over TCP");
	else if (verbs_ports(&port, 1) == 0)
		lacks(check, "warn", detail, "an RDMA adapter", "pages travel over TCP");
	else
		lacks(check, "warn", detail,
			"data: (or listen:) on an address of the RDMA adapter's interface; the log "
			"says what failed (data.tcp_only)",
			"pages travel over TCP");
}

/* devices, their limits, and what holds them back */
static void check_rdma(const struct node *node, struct check *check)
{
	struct rdma_advice advice;
	(void)node;
	rdma_advise(&advice);
	if (advice.remedy[0])
		lacks(check, "warn", advice.detail, advice.remedy, advice.cost);
	else
		ok(check, advice.detail);
}

static void check_python(const struct node *node, struct check *check)
{
	if (access(node->config.python, X_OK) == 0)
		ok(check, node->config.python);
	else
		lacks(check, "warn", node->config.python,
			"install it, or set python: in rametd's configuration",
			"Python apps cannot be initialised here, unless they name their "
			"interpreter");
}

/* where what compiles an app's files looks for programs (seeds_command.c) */
static bool has_program(const char *name)
{
	static const char *const dirs[] = {"/usr/local/bin", "/usr/bin", "/bin"};
	char path[64];
	for (size_t i = 0; i < ARRAY_LEN(dirs); i++) {
		snprintf(path, sizeof(path), "%s/%s", dirs[i], name);
		if (access(path, X_OK) == 0)
			return true;
	}
	return false;
}

static void check_wasm(const struct node *node, struct check *check)
{
	(void)node;
	if (has_program("wasm2c") && has_program("cc"))
		ok(check, "wasm2c and cc");
	else
		lacks(check, "warn", "wasm2c or cc is not there",
			"install wabt and a C compiler (Debian: wabt, gcc, libc6-dev)",
			"WebAssembly apps cannot be initialised here, only forked");
}

/* forks of seeds whose software is not here */
static void check_software(const struct node *node, struct check *check)
{
	const struct spawn_caps *caps = spawn_client_caps(node->spawn);
	if (!caps->sandbox)
		lacks(check, "warn", "without sandboxes instances see this machine's files only",
			"run rametd as root, or set user.max_user_namespaces above 0",
			"what a function opens late must be installed here");
	else if (!caps->fuse)
		lacks(check, "warn", "/dev/fuse cannot be used",
			"load the module fuse, and build with libfuse3",
			"the first fork of an app whose software is not here waits until all of it "
			"has come");
	else
		ok(check, "files of apps that this machine lacks come when they are opened");
}

static void check_store(const struct node *node, struct check *check)
{
	char detail[NODE_PATH_MAX + 64];
	struct statvfs fs;
	if (statvfs(node->config.dir, &fs) < 0) {
		lacks(check, "missing", node->config.dir, "make the directory writable",
			"nothing can be deployed");
		return;
	}
	unsigned long long room = (unsigned long long)fs.f_bavail * fs.f_frsize;
	snprintf(detail, sizeof(detail), "%s, %llu MiB free", node->config.dir, room >> 20);
	if (room >= LOW_DISK_BYTES)
		ok(check, detail);
	else
		lacks(check, "warn", detail, "make room",
			"deployments and files of other nodes may not fit");
}

static void check_peers(const struct node *node, struct check *check)
{
	unsigned count = members_count(node->members), alive = members_alive(node->members);
	char detail[64];
	snprintf(detail, sizeof(detail), "%u of %u other nodes are up", alive, count);
	if (alive == count)
		ok(check, detail);
	else
		lacks(check, "warn", detail,
			"start rametd there, and let this node reach its listen address",
			"nothing runs on nodes that are down");
}

static void check_class(const struct node *node, struct check *check)
{
	ok(check, node->self.class_text);
	for (unsigned i = 0; i < members_count(node->members); i++) {
		const struct member *member = members_at(node->members, i);
		char diff[256], detail[320];
		if (!member->known || member->info.class_id == node->self.class_id)
			continue;
		topo_class_diff(&node->topo, member->info.class_text, diff, sizeof(diff));
		snprintf(detail, sizeof(detail), "differs from node %u: %s", member->info.node,
			diff);
		lacks(check, "warn", detail, "the same kernel build and CPU features on both",
			"no fork travels between these nodes: each class has its own cold start");
		return;
	}
}

static const struct {
	const char *name;
	void (*fn)(const struct node *node, struct check *check);
} checks[] = {
	{"pager", check_pager},
	{"sandbox", check_sandbox},
	{"seccomp", check_seccomp},
	{"landlock", check_landlock},
	{"clocks", check_clocks},
	{"limits", check_limits},
	{"tenants", check_tenants},
	{"transport", check_transport},
	{"rdma", check_rdma},
	{"python", check_python},
	{"wasm", check_wasm},
	{"software", check_software},
	{"store", check_store},
	{"peers", check_peers},
	{"class", check_class},
};

static void pack(uint32_t node, const char *name, const struct check *check, struct buf *b)
{
	wire_map(b, 6);
	wire_kuint(b, "node", node);
	wire_kstr(b, "name", name);
	wire_kstr(b, "state", check->state);
	wire_kstr(b, "detail", check->detail);
	wire_kstr(b, "remedy", check->remedy);
	wire_kstr(b, "cost", check->cost);
}

void doctor_pack(struct node *node, struct buf *b, uint32_t *io_count)
{
	for (unsigned i = 0; i < ARRAY_LEN(checks); i++) {
		struct check check = {0};
		checks[i].fn(node, &check);
		pack(node->config.node, checks[i].name, &check, b);
		(*io_count)++;
	}
}

void doctor_pack_silent(uint32_t node, struct buf *b, uint32_t *io_count)
{
	struct check check = {0};
	lacks(&check, "missing", "it does not answer", "start rametd there, or see its log",
		"nothing runs on it");
	pack(node, "node", &check, b);
	(*io_count)++;
}
