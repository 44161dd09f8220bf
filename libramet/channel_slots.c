/* The channel through leases' memory: waiting for answers, cancelling, forgetting, its life. Where
 * calls go is channel_slots_place.c, answers are channel_slots_answer.c. */
#include "libramet/channel_slots.h"

#include "base/cleanup.h"
#include "base/err.h"

#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/uio.h>

/* --- waiting --- */

static void free_over(struct channel_slots *s)
{
	list_for_each_safe (lease, &s->over, struct lease, link)
		lease_free(lease);
}

/* Instances have it, too, and may have made it one that blocks. */
static void empty_fd(int fd)
{
	eventfd_t count;
	struct iovec to = {&count, sizeof(count)};
	ssize_t n = preadv2(fd, &to, 1, -1, RWF_NOWAIT);
	(void)n;
}

static int dispatch(struct channel *channel, struct ramet_err *err)
{
	struct channel_slots *s = slots_of(channel);
	if (s->armed)
		empty_fd(s->fd);
	list_for_each_safe (lease, &s->leases, struct lease, ready_link)
		if (lease->far)
			lease_receive(lease);
	if (s->under_way > 0)
		list_for_each_safe (lease, &s->leases, struct lease, ready_link)
			answer_all(lease);
	if (s->under_way > 1)
		answer_give_back(s);
	if (!s->looking)
		free_over(s);
	return s->socket->ops->dispatch(s->socket, err);
}

static bool spin_begin(struct channel *channel)
{
	struct channel_slots *s = slots_of(channel);
	bool worth = false;
	s->nwatches = 0;
	if (s->under_way == 0 || s->looking)
		return false;
	list_for_each (lease, &s->leases, struct lease, ready_link) {
		if (lease->under_way == 0 || lease->far)
			continue;
		worth = slots_client_spins(&lease->slots, &s->spin) || worth;
		for (unsigned i = 0; i < SLOTS_COUNT; i++)
			if (lease->calls[i] && s->nwatches < WATCHES)
				slots_watch(&lease->slots, i, &s->watches[s->nwatches++]);
	}
	s->looking = worth;
	return worth;
}

static bool any_done(const void *arg)
{
	const struct channel_slots *s = arg;
	for (unsigned i = 0; i < s->nwatches; i++)
		if (slots_watch_done(&s->watches[i]))
			return true;
	return false;
}

static void spin(struct channel *channel)
{
	struct channel_slots *s = slots_of(channel);
	(void)spin_until(&s->spin, any_done, s);
}

static void spin_end(struct channel *channel)
{
	slots_of(channel)->looking = false;
}

static bool anything_done(const struct channel_slots *s)
{
	list_for_each (lease, &s->leases, struct lease, ready_link)
		for (unsigned i = 0; lease->under_way > 0 && i < SLOTS_COUNT; i++)
			if (lease->calls[i] && slots_done(&lease->slots, i))
				return true;
	return false;
}

static int patience(const struct channel *channel)
{
	const struct channel_slots *s = container_of(channel, const struct channel_slots, base);
	list_for_each (lease, &s->leases, struct lease, ready_link)
		for (unsigned i = 0; lease->under_way > 1 && i < SLOTS_COUNT; i++)
			if (lease->calls[i] && answer_is_behind(lease->calls[i]))
				return BEHIND_NS / NSEC_PER_MSEC;
	return -1;
}

/* the only lease with calls; NULL: there are several, it is on another node, or some are of nobody
 */
static struct lease *only_lease(const struct channel_slots *s)
{
	list_for_each (lease, &s->leases, struct lease, ready_link) {
		bool only = lease->under_way == s->under_way && !lease->far && !lease->forgotten;
		if (lease->under_way > 0)
			return only ? lease : NULL;
	}
	return NULL;
}

static void doze_end(struct channel *channel)
{
	struct channel_slots *s = slots_of(channel);
	s->looking = false;
	if (s->armed) /* meanwhile */
		slots_client_sleeps(&s->doze_on->slots);
	else
		slots_client_wakes(&s->doze_on->slots);
	s->doze_on = NULL;
}

static bool doze_begin(struct channel *channel, unsigned calls)
{
	struct channel_slots *s = slots_of(channel);
	struct lease *lease = s->under_way == calls ? only_lease(s) : NULL;
	if (!lease || patience(channel) >= 0)
		return false;
	s->doze_on = lease;
	s->looking = true;
	s->doze_seen = slots_client_dozes(&lease->slots);
	if (!anything_done(s))
		return true;
	doze_end(channel);
	return false;
}

static void doze(struct channel *channel, uint64_t ns)
{
	const struct channel_slots *s = slots_of(channel);
	slots_client_doze(&s->doze_on->slots, s->doze_seen, ns);
}

static void rouse(struct channel *channel)
{
	slots_rouse_client(&slots_of(channel)->doze_on->slots.slots);
}

static bool sleeps(struct channel *channel)
{
	struct channel_slots *s = slots_of(channel);
	s->asleep = true;
	if (s->under_way == 0)
		return true;
	list_for_each (lease, &s->leases, struct lease, ready_link)
		if (lease->under_way > 0)
			slots_client_sleeps(&lease->slots);
	return !anything_done(s);
}

static void wakes(struct channel *channel)
{
	struct channel_slots *s = slots_of(channel);
	s->asleep = false;
	if (!s->armed)
		list_for_each (lease, &s->leases, struct lease, ready_link)
			slots_client_wakes(&lease->slots);
}

static void arm(struct channel *channel)
{
	struct channel_slots *s = slots_of(channel);
	s->armed = true;
	list_for_each (lease, &s->leases, struct lease, ready_link)
		slots_client_sleeps(&lease->slots);
}

static int event_fd(const struct channel *channel)
{
	return container_of(channel, const struct channel_slots, base)->fd;
}

static void watch(struct channel *channel, const int epoll_fds[2])
{
	struct channel_slots *s = slots_of(channel);
	s->epoll_fds[0] = epoll_fds[0];
	s->epoll_fds[1] = epoll_fds[1];
}

/* --- cancelling, forgetting, the end --- */

static int cancel(struct channel *channel, struct channel_call *call, struct ramet_err *err)
{
	struct channel_slots *s = slots_of(channel);
	struct lease *lease = call->lease;
	struct ramet_err cancelled = {0};
	bool held = !list_empty(&call->held);
	if (!lease && !held)
		return s->socket->ops->cancel(s->socket, call, err);
	if (!held && !slots_withdraw(&lease->slots, call->slot))
		return lease_cancel(lease, call->slot, err);
	if (!held) {
		lease->calls[call->slot] = NULL;
		lease->under_way--;
		s->under_way--;
	}
	list_remove(&call->held);
	call->lease = NULL;
	place_drop_copy(call);
	err_set(&cancelled, RAMET_ECANCELED, "cancelled before it began");
	call->events->done(call, NULL, &cancelled);
	return 0;
}

static void forget(struct channel *channel, struct channel_call *call)
{
	struct channel_slots *s = slots_of(channel);
	struct lease *lease = call->lease;
	if (!list_empty(&call->held)) {
		list_remove(&call->held);
		place_drop_copy(call);
		return;
	}
	if (!lease) {
		place_leave_socket(call);
		s->socket->ops->forget(s->socket, call);
		return;
	}
	lease->calls[call->slot] = NULL;
	lease->forgotten |= 1u << call->slot;
	call->lease = NULL;
	place_drop_copy(call);
}

static void lose_held(struct function *f, const struct ramet_err *err)
{
	list_for_each_safe (call, &f->held, struct channel_call, held) {
		list_remove(&call->held);
		place_drop_copy(call);
		call->events->done(call, NULL, err);
	}
}

static void destroy(struct channel *channel)
{
	if (!channel)
		return;
	struct channel_slots *s = slots_of(channel);
	struct ramet_err err = {0};
	err_set(&err, RAMET_ECLOSED, "the handle was closed");
	for (unsigned i = 0; i < BUCKETS; i++) {
		list_for_each_safe (f, &s->functions[i], struct function, link) {
			list_for_each_safe (lease, &f->leases, struct lease, link) {
				answer_lose_all(lease, &err);
				lease_free(lease);
			}
			lose_held(f, &err);
			free(f);
		}
	}
	free_over(s);
	s->socket->ops->destroy(s->socket);
	close_reset(&s->fd);
	free(s);
}

static const struct channel_ops ops = {
	.name = "slots",
	.submit = place_submit,
	.room = place_room,
	.cancel = cancel,
	.forget = forget,
	.fd = event_fd,
	.watch = watch,
	.dispatch = dispatch,
	.spin_begin = spin_begin,
	.spin = spin,
	.spin_end = spin_end,
	.doze_begin = doze_begin,
	.doze = doze,
	.doze_end = doze_end,
	.rouse = rouse,
	.sleeps = sleeps,
	.wakes = wakes,
	.patience = patience,
	.arm = arm,
	.destroy = destroy,
};

int channel_slots_create(struct conn *conn, struct channel *socket, struct channel **ret_channel,
	struct ramet_err *err)
{
	struct channel_slots *s = calloc(1, sizeof(*s));
	if (!s)
		return err_nomem(err);
	s->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (s->fd < 0) {
		free(s);
		return err_errno(err, RAMET_EIO, "eventfd");
	}
	s->base.ops = &ops;
	s->conn = conn;
	s->socket = socket;
	list_init(&s->over);
	list_init(&s->leases);
	for (unsigned i = 0; i < BUCKETS; i++)
		list_init(&s->functions[i]);
	*ret_channel = &s->base;
	return 0;
}
