/* The holders of tenants' namespaces. Those of tenants that run nothing are kept up to a number,
 * the last used longest. */
#include "runtime/spawn/tenant.h"
#include "base/list.h"
#include "runtime/spawn/exec.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define IDLE_MAX 32

struct tenants {
	struct reaper *reaper;
	struct list all; /* the last used first */
	unsigned idle;
};

static void tenant_free(struct tenant *tenant)
{
	child_kill(&tenant->holder);
	reaper_forget(tenant->tenants->reaper, &tenant->holder);
	list_remove(&tenant->link);
	close_reset(&tenant->pidfd);
	free(tenant);
}

/* Its namespaces live on in its processes, but nobody can join them: the next use makes new ones.
 */
static void on_holder_exit(struct child *child, int wstatus, const struct rusage *usage)
{
	(void)wstatus, (void)usage;
	struct tenant *tenant = container_of(child, struct tenant, holder);
	list_remove(&tenant->link);
	list_init(&tenant->link);
	if (tenant->refs == 0) {
		tenant->tenants->idle--;
		tenant_free(tenant);
	}
}

static int loopback_up(void)
{
	struct ifreq ifr = {.ifr_name = "lo"};
	auto_close int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || ioctl(fd, SIOCGIFFLAGS, &ifr) < 0)
		return -1;
	ifr.ifr_flags |= IFF_UP;
	return ioctl(fd, SIOCSIFFLAGS, &ifr);
}

static _Noreturn void holder_main(int outcome, pid_t parent)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	prctl(PR_SET_NAME, "ramet-tenant");
	exec_signals();
	int error = unshare(TENANT_NAMESPACES) < 0 || loopback_up() < 0 ? errno : 0;
	if (write(outcome, &error, sizeof(error)) != sizeof(error) || error || getppid() != parent)
		_exit(EXIT_FAILURE);
	syscall(SYS_close_range, 0u, ~0u, 0u);
	for (;;)
		pause();
}

static int start_holder(struct tenant *tenant, struct ramet_err *err)
{
	int ends[2];
	if (pipe2(ends, O_CLOEXEC) < 0)
		return err_errno(err, RAMET_EIO, "pipe");
	auto_close int in = ends[0];
	auto_close int out = ends[1];
	pid_t parent = getpid();
	pid_t pid = fork();
	if (pid < 0)
		return err_errno(err, RAMET_EIO, "fork");
	if (pid == 0)
		holder_main(out, parent);
	reaper_add(tenant->tenants->reaper, &tenant->holder, pid, on_holder_exit);
	close_reset(&out);
	int error = ECHILD;
	ssize_t n;
	do
		n = read(in, &error, sizeof(error));
	while (n < 0 && errno == EINTR);
	if (n != sizeof(error) || error) {
		errno = error;
		return err_errno(err, error == EPERM ? RAMET_EPERM : RAMET_EIO,
			"make the namespaces of tenant %u", tenant->uid);
	}
	tenant->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	return tenant->pidfd < 0 ? err_errno(err, RAMET_EIO, "pidfd_open") : 0;
}

int tenants_create(struct reaper *reaper, struct tenants **ret_tenants, struct ramet_err *err)
{
	struct tenants *tenants = calloc(1, sizeof(*tenants));
	if (!tenants)
		return err_nomem(err);
	tenants->reaper = reaper;
	list_init(&tenants->all);
	*ret_tenants = tenants;
	return 0;
}

void tenants_destroy(struct tenants *tenants)
{
	if (!tenants)
		return;
	while (!list_empty(&tenants->all))
		tenant_free(list_first(&tenants->all, struct tenant, link));
	free(tenants);
}

static struct tenant *find(struct tenants *tenants, uid_t uid)
{
	list_for_each (tenant, &tenants->all, struct tenant, link) {
		if (tenant->uid == uid)
			return tenant;
	}
	return NULL;
}

int tenant_get(
	struct tenants *tenants, uid_t uid, struct tenant **ret_tenant, struct ramet_err *err)
{
	struct tenant *tenant = find(tenants, uid);
	if (!tenant) {
		tenant = calloc(1, sizeof(*tenant));
		if (!tenant)
			return err_nomem(err);
		*tenant = (struct tenant){.tenants = tenants, .uid = uid, .pidfd = -1};
		list_init(&tenant->link);
		int rc = start_holder(tenant, err);
		if (rc < 0) {
			tenant_free(tenant);
			return rc;
		}
		tenants->idle++;
	}
	list_remove(&tenant->link);
	list_insert(&tenants->all, &tenant->link);
	if (tenant->refs++ == 0)
		tenants->idle--;
	*ret_tenant = tenant;
	return 0;
}

struct tenant *tenant_ref(struct tenant *tenant)
{
	if (tenant)
		tenant->refs++;
	return tenant;
}

static void trim(struct tenants *tenants)
{
	while (tenants->idle > IDLE_MAX) {
		struct list *last = tenants->all.prev;
		while (list_entry(last, struct tenant, link)->refs)
			last = last->prev;
		tenants->idle--;
		tenant_free(list_entry(last, struct tenant, link));
	}
}

void tenant_put(struct tenant *tenant)
{
	if (!tenant || --tenant->refs)
		return;
	struct tenants *tenants = tenant->tenants;
	if (!tenant->holder.pid) { /* the holder ended meanwhile */
		tenant_free(tenant);
		return;
	}
	tenants->idle++;
	trim(tenants);
}
