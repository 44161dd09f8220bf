/* The control loop's side of a lease's stream: making and ending it, and what it is told of it. */
#include "cluster/lease_stream_internal.h"

#include "base/cleanup.h"

#include <fcntl.h>
#include <stdlib.h>

void lease_stream_gone_there(struct loop_task *task)
{
	struct lease_stream *s = container_of(task, struct lease_stream, gone_task);
	if (!s->handler)
		return;
	if (s->broken)
		s->handler->on_broken(s->user);
	else
		s->handler->on_gone(s->user);
}

void lease_stream_cancel_there(struct loop_task *task)
{
	struct lease_stream *s = container_of(task, struct lease_stream, cancel_task);
	atomic_store(&s->cancelling, false);
	uint32_t cancelled = atomic_exchange(&s->cancelled, 0);
	for (unsigned i = 0; i < SLOTS_COUNT && s->handler; i++)
		if (cancelled & 1u << i)
			s->handler->on_cancel(s->user, i, atomic_load(&s->generation[i]));
}

void lease_stream_free_there(struct loop_task *task)
{
	free(container_of(task, struct lease_stream, free_task));
}

void lease_stream_look(struct lease_stream *s)
{
	if (atomic_exchange(&s->looking, true))
		return;
	s->look_task.fn = lease_stream_look_there;
	loop_post(segments_loop(s->segments), &s->look_task);
}

bool lease_stream_heard(struct lease_stream *s)
{
	return atomic_exchange(&s->heard, false) || atomic_load(&s->stuffed);
}

void lease_stream_end(struct lease_stream *s, bool linger)
{
	if (!s)
		return;
	s->handler = NULL;
	s->linger = linger;
	s->end_task.fn = lease_stream_end_there;
	loop_post(segments_loop(s->segments), &s->end_task);
}

static int duplicate(int fd, int *ret_fd, struct ramet_err *err)
{
	*ret_fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	return *ret_fd < 0 ? err_errno(err, RAMET_EIO, "duplicate a lease's descriptor") : 0;
}

static int open_slots(struct lease_stream *s, int slots_fd, struct ramet_err *err)
{
	auto_close int fd = -1;
	int rc = duplicate(slots_fd, &fd, err);
	if (rc == 0)
		rc = slots_open(fd, &s->slots.slots, err);
	if (rc == 0)
		steal_fd(&fd);
	return rc;
}

static void discard(struct lease_stream *s)
{
	slots_close(&s->slots.slots);
	close_reset(&s->wake_fd);
	close_reset(&s->event_fd);
	free(s);
}

int lease_stream_create(struct segments *segments, struct loop *control, const int fds[3],
	bool verbs, const struct lease_stream_handler *handler, void *user,
	uint8_t ret_token[SEGMENTS_TOKEN_BYTES], struct lease_stream **ret_stream,
	struct ramet_err *err)
{
	struct lease_stream *s = calloc(1, sizeof(*s));
	if (!s)
		return err_nomem(err);
	s->segments = segments;
	s->control = control;
	s->wake_fd = s->event_fd = -1;
	s->handler = handler;
	s->user = user;
	int rc = open_slots(s, fds[0], err);
	if (rc == 0)
		rc = duplicate(fds[1], &s->wake_fd, err);
	if (rc == 0)
		rc = duplicate(fds[2], &s->event_fd, err);
	/* last: from now on the data thread knows it */
	if (rc == 0 && verbs)
		rc = segments_pipe_token(
			segments, "verbs", lease_stream_on_pipe, s, ret_token, err);
	else if (rc == 0)
		rc = segments_stream_token(segments, lease_stream_on_socket, s, ret_token, err);
	if (rc < 0) {
		discard(s);
		return rc;
	}
	*ret_stream = s;
	return 0;
}
