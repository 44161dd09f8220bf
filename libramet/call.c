/* Calls: sending them off, cancelling, forgetting. Waiting for them is in wait.c. */
#include "libramet/call.h"

#include "libramet/result.h"

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#define KNOWN_FLAGS \
	(RAMET_CALL_BINARY | RAMET_CALL_DETACH | RAMET_CALL_NOWAIT | RAMET_CALL_ALONE | \
		RAMET_CALL_BEHIND | RAMET_CALL_EVENTS)

int call_options(const struct ramet_call_options *options, struct ramet_call_options *ret_options,
	struct ramet_err *err)
{
	struct ramet_call_options ours = ramet_call_options_default();
	if (options) {
		if (options->size < sizeof(options->size))
			return err_set(err, RAMET_EINVAL,
				"call options have no size: use ramet_call_options_default()");
		if (options->size == sizeof(ours)) /* a copy of known size takes no call */
			ours = *options;
		else
			memcpy(&ours, options, MIN(options->size, sizeof(ours)));
		ours.size = sizeof(ours);
	}
	if (ours.flags & ~KNOWN_FLAGS)
		return err_set(err, RAMET_EINVAL, "unknown flag in call options: %#x", ours.flags);
	if (ours.flags & RAMET_CALL_EVENTS && ours.flags & RAMET_CALL_DETACH)
		return err_set(err, RAMET_EINVAL, "nobody listens to a detached call");
	*ret_options = ours;
	return 0;
}

static bool name_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		c == '_' || c == '.' || c == '-';
}

int call_check_name(const char *name, struct ramet_err *err)
{
	size_t len = name ? strlen(name) : 0;
	if (len == 0)
		return err_set(err, RAMET_EINVAL, "a function needs a name");
	bool ok = len <= CLIENT_NAME_MAX && name[0] != '.' && name[0] != '-';
	for (size_t i = 0; ok && i < len; i++)
		ok = name_char(name[i]);
	if (!ok)
		return err_set(err, RAMET_EINVAL,
			"\"%.80s\" is not a name: 1 to %d of letters, digits, \"_.-\", not "
			"beginning with . or -",
			name, CLIENT_NAME_MAX);
	return 0;
}

static void on_accepted(struct channel_call *channel_call, const char *id)
{
	struct ramet_call *call = container_of(channel_call, struct ramet_call, channel);
	size_t len = strnlen(id, sizeof(call->id) - 1);
	memcpy(call->id, id, len);
	call->id[len] = '\0';
}

static void goes(struct ramet_call *call)
{
	call->under_way = true;
	call->ramet->under_way++;
	call->ramet->inside += call->inside;
}

static void is_over(struct ramet_call *call)
{
	if (!call->under_way)
		return;
	call->under_way = false;
	call->ramet->under_way--;
	call->ramet->inside -= call->inside;
}

static void on_done(
	struct channel_call *channel_call, struct ramet_result *result, const struct ramet_err *err)
{
	struct ramet_call *call = container_of(channel_call, struct ramet_call, channel);
	if (!result) {
		result = result_from_err(call->channel.function, err);
		err_copy(&call->error, err);
	}
	call->result = result;
	call->done = true;
	is_over(call);
	call_join_done(call);
}

static const struct channel_events events = {
	.accepted = on_accepted, .event = call_on_event, .done = on_done};

struct room {
	struct ramet *ramet;
	const struct channel_request *request;
};

static bool has_room(void *arg)
{
	const struct room *room = arg;
	const struct channel *channel = room->ramet->channel;
	return !channel || channel->ops->room(channel, room->request);
}

static int submit(
	struct ramet_call *call, const struct channel_request *request, struct ramet_err *err)
{
	struct ramet *ramet = call->ramet;
	struct room room = {ramet, request};
	for (;;) {
		int rc = handle_check_open(ramet, err);
		if (rc == 0)
			rc = ramet->channel->ops->submit(
				ramet->channel, request, &call->channel, err);
		if (rc == RAMET_EAGAIN &&
			request->options->flags & (RAMET_CALL_NOWAIT | RAMET_CALL_BEHIND))
			return err_set(
				err, rc, "too many calls of %s are under way", request->function);
		if (rc != RAMET_EAGAIN)
			return rc;
		rc = handle_wait(ramet, has_room, &room, DEADLINE_NONE, err);
		if (rc < 0)
			return rc;
	}
}

/* Not zeroed as a whole: for quick calls the room for a message would cost as much as all else. */
static void call_init(struct ramet_call *call, struct ramet *ramet, uint32_t flags)
{
	memset(call, 0, offsetof(struct ramet_call, error));
	call->error.code = call->error.sys = 0;
	call->error.msg[0] = '\0';
	call->ramet = ramet;
	list_init(&call->link);
	list_init(&call->events);
	call->channel.events = &events;
	call->detached = flags & RAMET_CALL_DETACH;
	call->listens = flags & RAMET_CALL_EVENTS;
}

static int check_request(const struct ramet_call_options *options, struct channel_request *request,
	struct ramet_call_options *ours, struct ramet_err *err)
{
	int rc = call_options(options, ours, err);
	if (rc == 0)
		rc = call_check_name(request->function, err);
	if (rc == 0 && request->len == 0 && !(ours->flags & RAMET_CALL_BINARY)) {
		request->data = "null";
		request->len = 4;
	}
	request->options = ours;
	return rc;
}

/* With the lock held; the call has a reference to the handle from now on, also when it fails. */
static int send_off(
	struct ramet_call *call, const struct channel_request *request, struct ramet_err *err)
{
	struct ramet *ramet = call->ramet;
	handle_get(ramet);
	int rc = submit(call, request, err);
	if (rc == 0 && !call->done)
		goes(call);
	if (ramet->dozing) /* it may have gone another way than what is slept for */
		handle_rouse(ramet);
	return rc;
}

/* With the lock held: nothing refers to it any more. */
static void leave(struct ramet_call *call)
{
	struct ramet *ramet = call->ramet;
	struct channel *channel = ramet->channel;
	if (call->under_way && !call->detached)
		channel->ops->cancel(channel, &call->channel, NULL);
	if (call->under_way) /* what has not begun is done at once */
		channel->ops->forget(channel, &call->channel);
	is_over(call);
	call_leave_done(call);
	call_drop_events(call);
	if (channel)
		handle_rouse(ramet); /* it may have been the last that another thread waits for */
}

int ramet_call_async(struct ramet *ramet, const char *function, const void *data, size_t len,
	const struct ramet_call_options *options, struct ramet_call **ret_call,
	struct ramet_err *err)
{
	struct ramet_call_options ours;
	struct channel_request request = {function, data, len, NULL, true};
	int rc = check_request(options, &request, &ours, err);
	if (rc < 0)
		return rc;
	struct ramet_call *call = malloc(sizeof(*call));
	if (!call)
		return err_nomem(err);
	call_init(call, ramet, ours.flags);
	handle_lock(ramet);
	rc = send_off(call, &request, err);
	handle_unlock(ramet);
	if (rc < 0)
		ramet_call_free(call);
	else
		*ret_call = call;
	return rc;
}

/* One holding of the lock, and no memory: quick calls take as long as these. */
int ramet_call(struct ramet *ramet, const char *function, const void *data, size_t len,
	const struct ramet_call_options *options, struct ramet_result **ret_result,
	struct ramet_err *err)
{
	struct ramet_call_options ours;
	struct ramet_call call;
	struct channel_request request = {function, data, len, NULL, false};
	if (ret_result)
		*ret_result = NULL;
	int rc = check_request(options, &request, &ours, err);
	if (rc < 0)
		return rc;
	if (ours.flags & RAMET_CALL_EVENTS)
		return err_set(err, RAMET_EINVAL,
			"nobody could take events: use ramet_call_async() and ramet_next_event()");
	call_init(&call, ramet, ours.flags);
	call.inside = true;
	handle_lock(ramet);
	rc = send_off(&call, &request, err);
	if (rc == 0)
		rc = call_take(&call, -1, ret_result, err);
	leave(&call);
	handle_unlock_put(ramet);
	ramet_result_free(call.result);
	return rc;
}

int ramet_cancel(struct ramet_call *call, struct ramet_err *err)
{
	auto_lock(call->ramet);
	if (!call->under_way)
		return 0;
	const struct channel *channel = call->ramet->channel;
	int rc = channel->ops->cancel(call->ramet->channel, &call->channel, err);
	if (call->done) /* another thread may wait for it */
		handle_rouse(call->ramet);
	return rc;
}

void ramet_call_free(struct ramet_call *call)
{
	if (!call)
		return;
	struct ramet *ramet = call->ramet;
	handle_lock(ramet);
	leave(call);
	handle_unlock_put(ramet);
	ramet_result_free(call->result);
	free(call);
}

void call_join_done(struct ramet_call *call)
{
	struct ramet *ramet = call->ramet;
	if (call->inside || !list_empty(&call->link)) /* or it has an event */
		return;
	if (ramet->polled && list_empty(&ramet->done))
		eventfd_write(ramet->done_fd, 1);
	list_append(&ramet->done, &call->link);
}

void call_leave_done(struct ramet_call *call)
{
	struct ramet *ramet = call->ramet;
	bool was_empty = list_empty(&ramet->done);
	eventfd_t count;
	list_remove(&call->link);
	if (ramet->polled && !was_empty && list_empty(&ramet->done))
		eventfd_read(ramet->done_fd, &count);
}

void ramet_call_set_user(struct ramet_call *call, void *user)
{
	call->user = user;
}

void *ramet_call_user(const struct ramet_call *call)
{
	return call->user;
}
