/* Registering the seed's image pieces with userfaultfd: for pages that may be missing, or to record
 * what is touched. */
#include "rfork/stub/stub.h"

#include <errno.h>
#include <linux/ioctl.h>
#include <linux/userfaultfd.h>

int stub_uffd(
	const struct descriptor_header *h, uint32_t flags, int *ret_uffd, struct stub_reply *reply)
{
	const struct seed_piece *pieces = stub_section(h, &h->pieces);
	reply->step = STUB_STEP_UFFD;
	long fd = sys1(__NR_userfaultfd, 02000000 | 04000 /* O_CLOEXEC | O_NONBLOCK */);
	if (fd < 0)
		return (int)fd;
	/* Events of a recorder would only stop it: nobody needs to know what it unmaps. Its fork
	 * event hands the registration on to the clone. */
	struct uffdio_api api = {.api = UFFD_API, .features = UFFD_FEATURE_EVENT_FORK};
	if (flags & STUB_UFFD)
		api.features |= UFFD_FEATURE_EVENT_REMAP | UFFD_FEATURE_EVENT_REMOVE |
			UFFD_FEATURE_EVENT_UNMAP | UFFD_FEATURE_MISSING_SHMEM;
	if (flags & STUB_RECORD)
		api.features |= UFFD_FEATURE_PAGEFAULT_FLAG_WP |
			(1 << 12) /* WP_HUGETLBFS_SHMEM, Linux 5.19 */;
	uint64_t mode = (flags & STUB_UFFD ? UFFDIO_REGISTER_MODE_MISSING : 0) |
		(flags & STUB_RECORD ? UFFDIO_REGISTER_MODE_WP : 0);
	long rc = sys3(__NR_ioctl, fd, UFFDIO_API, &api);
	for (uint32_t i = 0; rc >= 0 && i < h->pieces.count; i++) {
		if (pieces[i].kind != PIECE_IMAGE)
			continue;
		struct uffdio_register reg = {
			.range = {.start = pieces[i].start, .len = pieces[i].pages * RFORK_PAGE},
			.mode = mode};
		reply->step = STUB_STEP_UFFD_REGISTER;
		reply->arg = pieces[i].start;
		rc = sys3(__NR_ioctl, fd, UFFDIO_REGISTER, &reg);
	}
	if (rc < 0) {
		sys1(__NR_close, fd);
		return (int)rc;
	}
	*ret_uffd = (int)fd;
	return 0;
}
