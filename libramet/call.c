/* Calls: sending them off, cancelling, forgetting. Waiting for them is in wait.c. */
#include "libramet/call.h"

#include "libramet/result.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

int call_options(const struct ramet_call_options *options, struct ramet_call_options *ret_options,
	struct ramet_err *err)
{
	struct ramet_call_options ours = ramet_call_options_default();
	if (options) {
		if (options->size < sizeof(options->size))
			return err_set(err, RAMET_EINVAL,
				"call options have no size: use ramet_call_options_default()");
		memcpy(&ours, options, MIN(options->size, sizeof(ours)));
		ours.size = sizeof(ours);
	}
	if (ours.flags & ~(RAMET_CALL_BINARY | RAMET_CALL_DETACH))
		return err_set(err, RAMET_EINVAL, "unknown flag in call options: %#x", ours.flags);
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
	snprintf(call->id, sizeof(call->id), "%s", id);
}

static void on_done(
	struct channel_call *channel_call, struct ramet_result *result, const struct ramet_err *err)
{
	struct ramet_call *call = container_of(channel_call, struct ramet_call, channel);
	struct ramet *ramet = call->ramet;
	if (!result) {
		result = result_from_err(call->channel.function, err);
		err_copy(&call->error, err);
	}
	call->result = result;
	call->done = true;
	if (call->under_way)
		ramet->under_way--;
	call->under_way = false;
	if (list_empty(&ramet->done))
		eventfd_write(ramet->done_fd, 1);
	list_append(&ramet->done, &call->link);
}

static const struct channel_events events = {.accepted = on_accepted, .done = on_done};

struct room {
	struct ramet *ramet;
	size_t len;
};

static bool has_room(void *arg)
{
	const struct room *room = arg;
	const struct channel *channel = room->ramet->channel;
	return !channel || channel->ops->room(channel, room->len);
}

static int submit(
	struct ramet_call *call, const struct channel_request *request, struct ramet_err *err)
{
	struct ramet *ramet = call->ramet;
	struct room room = {ramet, request->len};
	for (;;) {
		int rc = handle_check_open(ramet, err);
		if (rc == 0)
			rc = ramet->channel->ops->submit(
				ramet->channel, request, &call->channel, err);
		if (rc != RAMET_EAGAIN)
			return rc;
		rc = handle_wait(ramet, has_room, &room, DEADLINE_NONE, err);
		if (rc < 0)
			return rc;
	}
}

static struct ramet_call *call_new(struct ramet *ramet)
{
	struct ramet_call *call = calloc(1, sizeof(*call));
	if (!call)
		return NULL;
	list_init(&call->link);
	call->channel.events = &events;
	call->ramet = ramet;
	auto_lock(ramet);
	handle_get(ramet);
	return call;
}

int ramet_call_async(struct ramet *ramet, const char *function, const void *data, size_t len,
	const struct ramet_call_options *options, struct ramet_call **ret_call,
	struct ramet_err *err)
{
	struct ramet_call_options ours;
	int rc = call_options(options, &ours, err);
	if (rc == 0)
		rc = call_check_name(function, err);
	if (rc < 0)
		return rc;
	if (len == 0 && !(ours.flags & RAMET_CALL_BINARY)) {
		data = "null";
		len = 4;
	}
	auto_call struct ramet_call *call = call_new(ramet);
	if (!call)
		return err_nomem(err);
	call->detached = ours.flags & RAMET_CALL_DETACH;
	struct channel_request request = {function, data, len, &ours};
	{
		auto_lock(ramet);
		rc = submit(call, &request, err);
		if (rc == 0 && !call->done) {
			call->under_way = true;
			ramet->under_way++;
		}
	}
	if (rc < 0)
		return rc;
	*ret_call = steal_ptr(&call);
	return 0;
}

int ramet_call(struct ramet *ramet, const char *function, const void *data, size_t len,
	const struct ramet_call_options *options, struct ramet_result **ret_result,
	struct ramet_err *err)
{
	auto_call struct ramet_call *call = NULL;
	if (ret_result)
		*ret_result = NULL;
	int rc = ramet_call_async(ramet, function, data, len, options, &call, err);
	return rc < 0 ? rc : ramet_wait(call, -1, ret_result, err);
}

int ramet_cancel(struct ramet_call *call, struct ramet_err *err)
{
	auto_lock(call->ramet);
	if (!call->under_way)
		return 0;
	const struct channel *channel = call->ramet->channel;
	return channel->ops->cancel(call->ramet->channel, &call->channel, err);
}

void ramet_call_free(struct ramet_call *call)
{
	if (!call)
		return;
	struct ramet *ramet = call->ramet;
	{
		auto_lock(ramet);
		if (call->under_way) {
			struct channel *channel = ramet->channel;
			if (!call->detached)
				channel->ops->cancel(channel, &call->channel, NULL);
			channel->ops->forget(channel, &call->channel);
			ramet->under_way--;
		}
		call_leave_done(call);
	}
	ramet_result_free(call->result);
	free(call);
	handle_put(ramet);
}

void call_leave_done(struct ramet_call *call)
{
	struct ramet *ramet = call->ramet;
	bool was_empty = list_empty(&ramet->done);
	eventfd_t count;
	list_remove(&call->link);
	if (!was_empty && list_empty(&ramet->done))
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
