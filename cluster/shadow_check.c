/* What /proc tells of a host and of what it calls its shadow: see shadow_check.h. */
#include "cluster/shadow_check.h"

#include "base/cleanup.h"
#include "rfork/capture_process.h"

#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

struct identity {
	int parent;
	unsigned uids[4];
	char space[64]; /* the PID namespace, as the kernel names it */
};

static int identity_read(pid_t pid, struct identity *ret)
{
	char path[64];
	char line[256];
	struct identity id = {.parent = -1};
	int uids = 0;
	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	auto_fclose FILE *f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "PPid: %d", &id.parent) == 1)
			continue;
		if (strncmp(line, "Uid:", 4) == 0)
			uids = sscanf(line, "Uid: %u %u %u %u", &id.uids[0], &id.uids[1],
				&id.uids[2], &id.uids[3]);
	}
	snprintf(path, sizeof(path), "/proc/%d/ns/pid", (int)pid);
	ssize_t n = readlink(path, id.space, sizeof(id.space) - 1);
	if (id.parent <= 0 || uids != 4 || n <= 0)
		return RAMET_EPEER;
	*ret = id;
	return 0;
}

static int refuse(struct ramet_err *err)
{
	return err_set(err, RAMET_EPROTO,
		"capture: the host gave another process, or none, for its shadow");
}

int shadow_check(int pidfd, pid_t host, struct ramet_err *err)
{
	struct identity of_host;
	struct identity of_shadow;
	pid_t pid;
	if (capture_process_pid(pidfd, &pid, err) < 0 || pid == host)
		return refuse(err);
	if (identity_read(host, &of_host) < 0)
		return err_set(err, RAMET_ELOST, "capture: the host has ended");
	if (identity_read(pid, &of_shadow) < 0 ||
		/* its number was its own all the while: it has not been reaped yet */
		syscall(SYS_pidfd_send_signal, pidfd, 0, NULL, 0) < 0)
		return err_set(err, RAMET_EIO, "capture: the shadow is gone");
	if (of_shadow.parent != of_host.parent ||
		memcmp(of_shadow.uids, of_host.uids, sizeof(of_host.uids)) != 0 ||
		strcmp(of_shadow.space, of_host.space) != 0)
		return refuse(err);
	return 0;
}
