/* What a process says through its userfaultfd, and the answers: faults are served, forks followed,
 * moved and unmapped ranges remembered. */
#include "rfork/pager.h"
#include "rfork/pager_internal.h"

#include "base/fault.h"

#include <errno.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define EVENTS_AT_ONCE 16
#define ROUNDS_AT_ONCE 16

void pager_wake(struct pager_uffd *uffd, uint64_t start, uint64_t end, bool map)
{
	uffd->woken++;
	struct uffdio_range range = {.start = start, .len = end - start};
	struct uffdio_continue mapped = {.range = range};
	/* one fault less for the process, 0.25 µs; refused before Linux 5.13, and while the address
	 * space is changing */
	if (map && ioctl(uffd->fd, UFFDIO_CONTINUE, &mapped) == 0)
		return;
	ioctl(uffd->fd, UFFDIO_WAKE, &range); /* fails only for what no process can fault on */
}

/* memory that is in no image: a mapping of the seed that the instance has made longer */
static void serve_unknown(struct pager_uffd *uffd, uint64_t addr)
{
	struct uffdio_zeropage zero = {.range = {.start = addr, .len = RFORK_PAGE}};
	if (ioctl(uffd->fd, UFFDIO_ZEROPAGE, &zero) < 0)
		pager_wake(uffd, addr, addr + RFORK_PAGE, false); /* mapped, or faults again */
}

static void serve_zeros(struct pager_uffd *uffd, uint32_t page, uint64_t addr)
{
	struct pager_seed *seed = uffd->child->seed;
	pager_count(&seed->counters, STAT_ZEROS, 1);
	pager_count(&uffd->child->counters, STAT_ZEROS, 1);
	/* in the image rather than in this process alone: siblings get it without the pager */
	if (image_fill_zero(seed->image, page) == 0) {
		pager_wake(uffd, addr, addr + RFORK_PAGE, false);
		return;
	}
	struct ramet_err err = {0};
	err_set(&err, RAMET_EIO, "no memory for a page of zeros of the image");
	pager_child_fail(uffd->child, &err);
}

static void on_fault(struct pager_uffd *uffd, uint64_t addr, bool write)
{
	struct pager_seed *seed = uffd->child->seed;
	struct image *image = seed->image;
	pager_count(&seed->counters, STAT_FAULTS, 1);
	pager_count(&uffd->child->counters, STAT_FAULTS, 1);
	addr &= ~(RFORK_PAGE - 1);

	uint64_t origin = pager_ranges_origin(&uffd->ranges, addr);
	const struct seed_piece *piece =
		origin == PAGER_RANGE_NONE ? NULL : descriptor_piece_of_addr(&image->desc, origin);
	if (!piece || piece->kind != PIECE_IMAGE) {
		serve_unknown(uffd, addr);
		return;
	}
	uint32_t page = (uint32_t)(piece->image_page + (origin - piece->start) / RFORK_PAGE);
	if (!image_has(image, page))
		pager_fetch_fault(seed, page, uffd, addr, write);
	else if (image_page_is_zero(image, page))
		serve_zeros(uffd, page, addr);
	else
		pager_wake(uffd, addr, addr + RFORK_PAGE, false); /* it has just come */
}

static void on_fork(struct pager_uffd *uffd, int fd)
{
	pager_count(&uffd->child->seed->counters, STAT_FORKS, 1);
	pager_count(&uffd->child->counters, STAT_FORKS, 1);
	if (fault_hit("pager.fork"))
		close(fd);
	else
		pager_uffd_add(uffd->child, fd, uffd);
}

static void on_changed(struct pager_uffd *uffd, int rc)
{
	struct ramet_err err = {0};
	if (rc == 0)
		return;
	err_set(&err, rc, "the instance has moved too many parts of its memory");
	pager_child_fail(uffd->child, &err);
}

static void on_message(struct pager_uffd *uffd, const struct uffd_msg *msg)
{
	switch (msg->event) {
	case UFFD_EVENT_PAGEFAULT:
		on_fault(uffd, msg->arg.pagefault.address,
			msg->arg.pagefault.flags & UFFD_PAGEFAULT_FLAG_WRITE);
		break;
	case UFFD_EVENT_FORK:
		on_fork(uffd, (int)msg->arg.fork.ufd);
		break;
	case UFFD_EVENT_REMAP:
		if (!fault_hit("pager.remap"))
			on_changed(uffd,
				pager_ranges_move(&uffd->ranges, msg->arg.remap.from,
					msg->arg.remap.to, msg->arg.remap.len));
		break;
	case UFFD_EVENT_UNMAP:
		on_changed(uffd,
			pager_ranges_unmap(
				&uffd->ranges, msg->arg.remove.start, msg->arg.remove.end));
		break;
	default: /* REMOVE: the pages come from the image again, as without a pager */
		break;
	}
}

/* false: there was none */
static bool read_messages(struct pager_uffd *uffd)
{
	struct pager_child *child = uffd->child;
	struct uffd_msg msgs[EVENTS_AT_ONCE];
	ssize_t n = read(uffd->fd, msgs, sizeof(msgs));
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (n < 0) {
		/* EMFILE, ENOMEM: a fork that cannot be followed, so the instance cannot go on */
		struct ramet_err err = {0};
		err_errno(&err, RAMET_EIO, "read userfaultfd of instance");
		loop_watch_remove(&uffd->watch);
		pager_child_fail(child, &err);
		return false;
	}
	unsigned count = (unsigned)((size_t)n / sizeof(msgs[0]));
	pager_count(&child->seed->counters, STAT_EVENTS, count);
	pager_count(&child->counters, STAT_EVENTS, count);
	for (unsigned i = 0; i < count; i++)
		on_message(uffd, &msgs[i]);
	pager_fetch_poll(child->seed->pager);
	return true;
}

/* A process that was woken on this CPU runs before the pager does, and has often faulted again by
 * the time it returns: then a look is cheaper than a turn of the loop. */
void pager_uffd_on_ready(struct loop_watch *watch, uint32_t events)
{
	struct pager_uffd *uffd = container_of(watch, struct pager_uffd, watch);
	for (unsigned round = 0; round < ROUNDS_AT_ONCE; round++) {
		uint64_t woken = uffd->woken;
		if (!read_messages(uffd) || uffd->woken == woken)
			return;
	}
}
