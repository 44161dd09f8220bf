/* Children of a pager: the messages of their userfaultfds, the processes they fork, and their end.
 *
 * A process that ends says nothing through its userfaultfd, so a timer looks; the program that
 * reaps it is usually faster and removes the child itself. */
#include "base/clock.h"
#include "rfork/pager.h"
#include "rfork/pager_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define EVENTS_AT_ONCE 16
#define ROUNDS_AT_ONCE 16
#define SWEEP_NS NSEC_PER_SEC

/* --- failure and end, as the control side sees them --- */

static void child_on_failed(struct loop_task *task) /* control */
{
	struct pager_child *child = container_of(task, struct pager_child, failed_task);
	if (!child->seed->pager->gone && !child->seed->gone && !child->gone && child->handler &&
		child->handler->on_failed)
		child->handler->on_failed(child->user, child->instance, &child->err);
}

void pager_child_fail(struct pager_child *child, const struct ramet_err *err)
{
	if (child->failed || child->ended)
		return;
	child->failed = true;
	err_copy(&child->err, err);
	pager_post_control(child->seed->pager, &child->failed_task, child_on_failed);
}

static void child_on_ended(struct loop_task *task) /* control */
{
	struct pager_child *child = container_of(task, struct pager_child, ended_task);
	if (!child->seed->pager->gone && !child->seed->gone && !child->gone && child->handler &&
		child->handler->on_ended)
		child->handler->on_ended(child->user, child->instance);
}

/* --- processes --- */

static void uffd_destroy(struct pager_uffd *uffd)
{
	if (uffd->waiters > 0)
		pager_waiters_drop(uffd->child->seed, uffd);
	loop_watch_remove(&uffd->watch);
	close_reset(&uffd->fd);
	list_remove(&uffd->link);
	pager_ranges_fini(&uffd->ranges);
	free(uffd);
}

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

static void uffd_on_ready(struct loop_watch *watch, uint32_t events);

/* fd is taken: it must not be closed while the process lives, so it stays with the child even if it
 * cannot be watched */
static struct pager_uffd *uffd_add(
	struct pager_child *child, int fd, const struct pager_uffd *parent)
{
	struct ramet_err err = {0};
	struct pager_uffd *uffd = calloc(1, sizeof(*uffd));
	if (!uffd) {
		err_nomem(&err);
		pager_child_fail(child, &err);
		return NULL; /* one descriptor is lost, for an instance that will be killed */
	}
	uffd->child = child;
	uffd->fd = fd;
	list_append(&child->uffds, &uffd->link);
	int rc = 0;
	if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
		rc = err_errno(&err, RAMET_EIO, "userfaultfd of instance");
	if (rc == 0 && parent && pager_ranges_copy(&uffd->ranges, &parent->ranges) < 0)
		rc = err_nomem(&err);
	if (rc == 0)
		rc = loop_watch_add(
			child->seed->pager->loop, &uffd->watch, fd, EPOLLIN, uffd_on_ready, &err);
	if (rc < 0)
		pager_child_fail(child, &err);
	return uffd;
}

static void child_end_if_empty(struct pager_child *child)
{
	if (child->ended || !list_empty(&child->uffds))
		return;
	child->ended = true;
	pager_post_control(child->seed->pager, &child->ended_task, child_on_ended);
}

void pager_child_close(struct pager_child *child)
{
	child->ended = true;
	list_for_each_safe (uffd, &child->uffds, struct pager_uffd, link)
		uffd_destroy(uffd);
}

/* whether the address space has gone: unregistering where nothing is registered does nothing, but
 * looks for it */
static bool uffd_is_dead(const struct pager_uffd *uffd)
{
	struct uffdio_range nowhere = {.start = RFORK_GAP_END - RFORK_PAGE, .len = RFORK_PAGE};
	return ioctl(uffd->fd, UFFDIO_UNREGISTER, &nowhere) < 0 && errno == ENOMEM;
}

static void pager_on_sweep(struct loop_timer *timer)
{
	struct pager *pager = container_of(timer, struct pager, sweep);
	bool any = false;
	list_for_each (seed, &pager->seeds, struct pager_seed, link) {
		list_for_each (child, &seed->children, struct pager_child, link) {
			list_for_each_safe (uffd, &child->uffds, struct pager_uffd, link)
				if (uffd_is_dead(uffd))
					uffd_destroy(uffd);
			child_end_if_empty(child);
			any |= !list_empty(&child->uffds);
		}
	}
	if (any)
		pager_sweep_start(pager);
}

void pager_sweep_start(struct pager *pager)
{
	if (pager->sweep.heap_pos == 0)
		loop_timer_set(pager->loop, &pager->sweep, now_ns() + SWEEP_NS, pager_on_sweep);
}

/* --- messages --- */

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
	uffd_add(uffd->child, fd, uffd);
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
		on_changed(uffd,
			pager_ranges_move(&uffd->ranges, msg->arg.remap.from, msg->arg.remap.to,
				msg->arg.remap.len));
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
static void uffd_on_ready(struct loop_watch *watch, uint32_t events)
{
	struct pager_uffd *uffd = container_of(watch, struct pager_uffd, watch);
	for (unsigned round = 0; round < ROUNDS_AT_ONCE; round++) {
		uint64_t woken = uffd->woken;
		if (!read_messages(uffd) || uffd->woken == woken)
			return;
	}
}

/* --- adding and removing --- */

static void child_on_add(struct loop_task *task)
{
	struct pager_child *child = container_of(task, struct pager_child, add_task);
	list_append(&child->seed->children, &child->link);
	child->log_start = child->seed->nlog;
	uffd_add(child, steal_fd(&child->first_fd), NULL);
	pager_sweep_start(child->seed->pager);
}

int pager_child_add(struct pager_seed *seed, uint64_t instance, int uffd,
	const struct pager_child_handler *handler, void *user, struct pager_child **ret_child,
	struct ramet_err *err)
{
	struct pager_child *child = calloc(1, sizeof(*child));
	if (!child)
		return err_nomem(err);
	child->seed = seed;
	child->instance = instance;
	child->first_fd = uffd;
	child->handler = handler;
	child->user = user;
	list_init(&child->uffds);
	pager_post(seed->pager, &child->add_task, child_on_add);
	*ret_child = child;
	return 0;
}

static void child_on_free(struct loop_task *task) /* control */
{
	free(container_of(task, struct pager_child, free_task));
}

static void child_on_remove(struct loop_task *task)
{
	struct pager_child *child = container_of(task, struct pager_child, remove_task);
	pager_child_close(child);
	list_remove(&child->link);
	pager_post_control(child->seed->pager, &child->free_task, child_on_free);
}

void pager_child_remove(struct pager_child *child)
{
	child->gone = true;
	pager_post(child->seed->pager, &child->remove_task, child_on_remove);
}

/* --- the log --- */

struct log_request {
	struct loop_task task;
	struct pager_child *child;
	uint32_t *pages;
	uint64_t count;
	struct ramet_err err;
	void (*done)(
		void *user, const uint32_t *pages, uint64_t count, const struct ramet_err *err);
	void *user;
};

static void log_on_done(struct loop_task *task) /* control */
{
	struct log_request *request = container_of(task, struct log_request, task);
	const struct pager_child *child = request->child;
	if (!child->seed->pager->gone && !child->seed->gone && !child->gone)
		request->done(request->user, request->pages, request->count, &request->err);
	free(request->pages);
	free(request);
}

static void log_on_request(struct loop_task *task)
{
	struct log_request *request = container_of(task, struct log_request, task);
	const struct pager_seed *seed = request->child->seed;
	uint64_t start = request->child->log_start;
	request->count = seed->nlog - start;
	request->pages = malloc(MAX(request->count, 1ull) * sizeof(*request->pages));
	if (!request->pages || seed->log_gap)
		err_nomem(&request->err);
	if (!request->pages)
		request->count = 0;
	if (request->count > 0)
		memcpy(request->pages, seed->log + start, request->count * sizeof(*request->pages));
	pager_post_control(seed->pager, &request->task, log_on_done);
}

int pager_child_log(struct pager_child *child,
	void (*done)(
		void *user, const uint32_t *pages, uint64_t count, const struct ramet_err *err),
	void *user, struct ramet_err *err)
{
	struct log_request *request = calloc(1, sizeof(*request));
	if (!request)
		return err_nomem(err);
	request->child = child;
	request->done = done;
	request->user = user;
	pager_post(child->seed->pager, &request->task, log_on_request);
	return 0;
}
