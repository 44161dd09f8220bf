/* Children of a pager: their processes, from userfaultfd to end; what the processes say is
 * pager_uffd.c's.
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

void pager_uffd_add(struct pager_child *child, int fd, const struct pager_uffd *parent)
{
	struct ramet_err err = {0};
	struct pager_uffd *uffd = calloc(1, sizeof(*uffd));
	if (!uffd) {
		err_nomem(&err);
		pager_child_fail(child, &err);
		return; /* one descriptor is lost, for an instance that will be killed */
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
		rc = loop_watch_add(child->seed->pager->loop, &uffd->watch, fd, EPOLLIN,
			pager_uffd_on_ready, &err);
	if (rc < 0)
		pager_child_fail(child, &err);
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

static void sweep_start(struct pager *pager);

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
		sweep_start(pager);
}

static void sweep_start(struct pager *pager)
{
	if (pager->sweep.heap_pos == 0)
		loop_timer_set(pager->loop, &pager->sweep, now_ns() + SWEEP_NS, pager_on_sweep);
}

/* --- adding and removing --- */

static void child_on_add(struct loop_task *task)
{
	struct pager_child *child = container_of(task, struct pager_child, add_task);
	list_append(&child->seed->children, &child->link);
	pager_uffd_add(child, steal_fd(&child->first_fd), NULL);
	sweep_start(child->seed->pager);
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
