/* Asking the kernel: userfaultfd with the features that templates need, and time namespaces. */
#include "runtime/spawn/probe.h"
#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

#define FEATURES \
	(UFFD_FEATURE_EVENT_FORK | UFFD_FEATURE_EVENT_REMAP | UFFD_FEATURE_EVENT_REMOVE | \
		UFFD_FEATURE_EVENT_UNMAP | UFFD_FEATURE_MISSING_SHMEM)
#define WP_SHMEM (UINT64_C(1) << 12) /* UFFD_FEATURE_WP_HUGETLBFS_SHMEM, Linux 5.19 */

void probe_note(char *list, size_t cap, const char *text)
{
	size_t len = strlen(list);
	if (text[0])
		snprintf(list + len, cap - len, "%s%s", len ? "; " : "", text);
}

static int probe_features(uint64_t want)
{
	auto_close int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return -1;
	struct uffdio_api api = {.api = UFFD_API, .features = want};
	return ioctl(fd, UFFDIO_API, &api);
}

static void note_errno(struct probe *probe, const char *what, const char *remedy)
{
	char text[160];
	snprintf(text, sizeof(text), "%s: %s%s", what, strerror(errno), remedy);
	probe_note(probe->missing, sizeof(probe->missing), text);
}

void probe_kernel(struct probe *ret_probe)
{
	*ret_probe = (struct probe){0};
	ret_probe->userfaultfd = probe_features(FEATURES) == 0;
	if (!ret_probe->userfaultfd)
		note_errno(ret_probe, "no userfaultfd with fork events",
			errno == EPERM ? " (run as root)" : "");
	ret_probe->uffd_wp = ret_probe->userfaultfd && probe_features(FEATURES | WP_SHMEM) == 0;
	if (ret_probe->userfaultfd && !ret_probe->uffd_wp)
		probe_note(ret_probe->missing, sizeof(ret_probe->missing),
			"no exact working sets: needs Linux 5.19");
	ret_probe->timens = access("/proc/self/ns/time_for_children", F_OK) == 0;
	if (!ret_probe->timens)
		note_errno(ret_probe, "no time namespaces", "");
}
