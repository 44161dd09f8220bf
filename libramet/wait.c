/* Waiting for calls of a handle: for one, for any, for one known by its id. */
#include "libramet/call.h"
#include "libramet/result.h"
#include "libramet/stream.h"

#include <string.h>

static bool is_done(void *arg)
{
	const struct ramet_call *call = arg;
	return call->done;
}

/* hands a result out: its status is the return value; without a taker it is freed */
static int hand_out(
	struct ramet_result *result, struct ramet_result **ret_result, struct ramet_err *err)
{
	int rc = result_status(result, err);
	if (ret_result)
		*ret_result = result;
	else
		ramet_result_free(result);
	return rc;
}

static int check_waitable(const struct ramet_call *call, struct ramet_err *err)
{
	if (call->taken)
		return err_set(err, RAMET_ENOTFOUND, "the call's result was taken already");
	return 0;
}

int call_take(struct ramet_call *call, int timeout_ms, struct ramet_result **ret_result,
	struct ramet_err *err)
{
	int rc = check_waitable(call, err);
	if (rc == 0)
		rc = handle_wait(call->ramet, is_done, call, handle_deadline(timeout_ms), err);
	if (rc == RAMET_ETIMEOUT)
		return err_set(err, rc, "the call was not done within %d ms", timeout_ms);
	if (rc < 0)
		return rc;
	call->taken = true;
	call_leave_done(call);
	if (call->result)
		return hand_out(steal_ptr(&call->result), ret_result, err);
	err_copy(err, &call->error);
	return call->error.code;
}

int ramet_wait(struct ramet_call *call, int timeout_ms, struct ramet_result **ret_result,
	struct ramet_err *err)
{
	if (ret_result)
		*ret_result = NULL;
	auto_lock(call->ramet);
	return call_take(call, timeout_ms, ret_result, err);
}

struct any {
	struct ramet *ramet;
	struct ramet_call *const *calls;
	size_t count;
	struct ramet_call *found;
};

static bool among(const struct any *any, const struct ramet_call *call)
{
	for (size_t i = 0; i < any->count; i++)
		if (any->calls[i] == call)
			return true;
	return any->count == 0;
}

static bool any_done(void *arg)
{
	struct any *any = arg;
	list_for_each (call, &any->ramet->done, struct ramet_call, link) {
		if (among(any, call)) {
			any->found = call;
			return true;
		}
	}
	return any->count == 0 && any->ramet->under_way == any->ramet->inside;
}

int ramet_wait_any(struct ramet *ramet, struct ramet_call *const *calls, size_t count,
	int timeout_ms, struct ramet_call **ret_call, struct ramet_err *err)
{
	struct any any = {ramet, calls, count, NULL};
	auto_lock(ramet);
	for (size_t i = 0; i < count; i++) {
		if (calls[i]->ramet != ramet)
			return err_set(err, RAMET_EINVAL, "call %zu is of another handle", i);
		int rc = check_waitable(calls[i], err);
		if (rc < 0)
			return rc;
	}
	int rc = ramet->polled ? handle_look(ramet, err) : 0;
	if (rc == 0)
		rc = handle_wait(ramet, any_done, &any, handle_deadline(timeout_ms), err);
	if (rc == RAMET_ETIMEOUT)
		return err_set(err, rc, "no call was done within %d ms", timeout_ms);
	if (rc < 0)
		return rc;
	if (!any.found)
		return err_set(err, RAMET_ENOTFOUND, "no call is under way");
	*ret_call = any.found;
	return 0;
}

static bool has_id(void *arg)
{
	const struct ramet_call *call = arg;
	return call->id[0] || call->done;
}

int ramet_call_id(
	struct ramet_call *call, char *dst, size_t cap, int timeout_ms, struct ramet_err *err)
{
	if (cap <= CLIENT_CALL_MAX)
		return err_set(err, RAMET_EINVAL, "a call's id needs %d bytes, not %zu",
			CLIENT_CALL_MAX + 1, cap);
	auto_lock(call->ramet);
	int rc = handle_wait(call->ramet, has_id, call, handle_deadline(timeout_ms), err);
	if (rc == RAMET_ETIMEOUT)
		return err_set(err, rc, "the call was not accepted within %d ms", timeout_ms);
	if (rc < 0)
		return rc;
	if (!call->id[0])
		return err_set(err, RAMET_ENOTFOUND, "the call ended before it got an id");
	memcpy(dst, call->id, sizeof(call->id));
	return 0;
}

struct wait_arg {
	const char *call;
	uint32_t timeout_ms;
};

static void pack_wait(struct buf *b, const void *arg)
{
	const struct wait_arg *wait = arg;
	wire_kstr(b, "call", wait->call);
	wire_kuint(b, "timeout_ms", wait->timeout_ms);
}

static int check_id(const char *id, struct ramet_err *err)
{
	if (!id || !*id || strlen(id) > CLIENT_CALL_MAX)
		return err_set(
			err, RAMET_EINVAL, "\"%.40s\" is not the id of a call", id ? id : "");
	return 0;
}

int ramet_wait_id(struct ramet *ramet, const char *call, int timeout_ms,
	struct ramet_result **ret_result, struct ramet_err *err)
{
	if (ret_result)
		*ret_result = NULL;
	/* to the daemon 0 is without limit, so a look without waiting is one millisecond */
	struct wait_arg arg = {call, timeout_ms < 0 ? 0 : (uint32_t)MAX(timeout_ms, 1)};
	auto_stream struct stream *stream = NULL;
	auto_message struct message *message = NULL;
	auto_result struct ramet_result *result = NULL;
	int rc = check_id(call, err);
	if (rc == 0)
		rc = stream_open(ramet, "wait", 2, pack_wait, &arg, &stream, err);
	if (rc == 0)
		rc = stream_next(stream, DEADLINE_NONE, &message, err);
	if (rc < 0)
		return rc;
	if (!message_is(message, "result"))
		return stream_expect(message, "result", err);
	rc = result_parse(message, "", &result, err);
	return rc < 0 ? rc : hand_out(steal_ptr(&result), ret_result, err);
}

static void pack_cancel(struct buf *b, const void *arg)
{
	wire_kstr(b, "call", arg);
}

int ramet_cancel_id(struct ramet *ramet, const char *call, struct ramet_err *err)
{
	int rc = check_id(call, err);
	if (rc < 0)
		return rc;
	return stream_request(
		ramet, "cancel", 1, pack_cancel, call, DEADLINE_NONE, "cancelled", NULL, err);
}
