/* What instances say and are told (runtime/host_proto.h). They run tenant code, so all that comes
 * from them is hostile: every field is bounded, and what is not allowed in the instance's state is
 * an error that ends it. */
#include "cluster/instances_internal.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "cluster/node.h"
#include "runtime/host_proto.h"

#include <string.h>
#include <sys/random.h>

#define HOST_LIMITS ((struct wire_limits){.bytes = HOST_MAX_FRAME, .depth = 4, .items = 256})

/* Codes that a function or its host may give as its own error; anything else it claims becomes
 * EUSER, so that it can pretend neither a lost instance (and be retried) nor a failure of the node.
 */
static const int own_codes[] = {RAMET_EUSER, RAMET_ELIMIT, RAMET_EDEADLINE, RAMET_EINVAL,
	RAMET_EREFUSED, RAMET_ENOMEM, RAMET_ENOTFOUND, RAMET_EIO, RAMET_ENOTSUP, RAMET_EPROTO};

int instance_take_error(struct instance *inst, const struct wire_value *body,
	struct call_error *ret_error, struct ramet_err *err)
{
	const struct wire_value *map = NULL;
	int rc = wire_get_map(body, "error", &map, err);
	if (rc == 0)
		rc = call_error_parse(map, ret_error, err);
	if (rc < 0)
		return rc;
	bool own = false;
	for (size_t i = 0; i < ARRAY_LEN(own_codes); i++)
		own = own || ret_error->err.code == own_codes[i];
	if (!own)
		ret_error->err.code = RAMET_EUSER;
	ret_error->retryable = false;
	ret_error->signal = 0;
	ret_error->fault_address = 0;
	ret_error->node = inst->owner->node->config.node;
	return 0;
}

/* its clock to ours; what lies outside [from, now] is not believed */
static uint64_t our_time(const struct instance *inst, uint64_t theirs, uint64_t from)
{
	uint64_t ours = theirs - (uint64_t)inst->mono_offset_ns;
	uint64_t now = now_ns();
	return ours < from ? from : MIN(ours, now);
}

static int on_started(struct instance *inst, const struct wire_value *body, struct ramet_err *err)
{
	uint64_t first = 0;
	if (inst->host || inst->running)
		return err_set(err, RAMET_EPROTO, "unexpected started");
	int rc = wire_get_uint(body, "first", UINT64_MAX, &first, err);
	if (rc < 0)
		return rc;
	inst->first_ns = our_time(inst, first, inst->created_ns);
	inst->running = true;
	instance_became_idle(inst);
	return 0;
}

/* a clone that could not be made what its parent was */
static int on_failed(struct instance *inst, const struct wire_value *body, struct ramet_err *err)
{
	struct call_error error = {0};
	if (inst->host || inst->running)
		return err_set(err, RAMET_EPROTO, "unexpected failed");
	int rc = instance_take_error(inst, body, &error, err);
	if (rc == 0) {
		err_prefix(&error.err, "a clone could not start");
		instance_kill(inst, &error.err);
	}
	call_error_fini(&error);
	return rc;
}

static int on_ready(struct instance *inst, struct ramet_err *err)
{
	if (!inst->host || inst->running)
		return err_set(err, RAMET_EPROTO, "unexpected ready");
	inst->running = true;
	instance_became_idle(inst);
	return 0;
}

static int check_output(struct instance *inst, const struct wire_value *body,
	struct instance_result *result, struct call_error *error, struct ramet_err *err)
{
	const void *output = NULL;
	int rc = wire_get_bin(body, "data", &output, &result->output_len, err);
	if (rc == 0)
		rc = wire_get_bool_or(body, "binary", false, &result->binary, err);
	if (rc < 0)
		return rc;
	result->output = output;
	uint64_t len = result->output_len + inst->emitted;
	if (len <= inst->max_output)
		return 0;
	err_set(&error->err, RAMET_ELIMIT, "the output of %s has %llu bytes%s, its limit is %llu",
		inst->tag.function, (unsigned long long)len,
		inst->emitted > 0 ? " with what it emitted" : "",
		(unsigned long long)inst->max_output);
	error->node = inst->owner->node->config.node;
	result->output_len = 0;
	return 0;
}

static int on_result(struct instance *inst, const struct wire_value *body, struct ramet_err *err)
{
	uint64_t id = 0;
	uint64_t begin = 0;
	uint64_t end = 0;
	bool ok = false;
	bool last = false;
	int rc = wire_get_uint(body, "id", UINT64_MAX, &id, err);
	if (rc == 0 && (inst->state != INSTANCE_BUSY || id != inst->call))
		rc = err_set(err, RAMET_EPROTO, "result of a call that it does not run");
	if (rc == 0)
		rc = wire_get_bool_or(body, "ok", false, &ok, err);
	if (rc == 0)
		rc = wire_get_bool_or(body, "last", false, &last, err);
	if (rc == 0)
		rc = wire_get_uint_or(body, "begin", UINT64_MAX, 0, &begin, err);
	if (rc == 0)
		rc = wire_get_uint_or(body, "end", UINT64_MAX, 0, &end, err);
	if (rc < 0)
		return rc;
	struct call_error error = {0};
	struct instance_result result = {.error = &error};
	begin = our_time(inst, begin, inst->call_began_ns);
	result.run_ns = our_time(inst, end, begin) - begin;
	rc = ok ? check_output(inst, body, &result, &error, err)
		: instance_take_error(inst, body, &error, err);
	if (rc == 0 && last)
		instance_leaves(inst);
	if (rc == 0)
		instance_finish_call(inst, &result);
	call_error_fini(&error);
	return rc;
}

/* the process ends right after; what it died of is told then */
static int on_crash(struct instance *inst, const struct wire_value *body, struct ramet_err *err)
{
	uint64_t signal = 0;
	uint64_t address = 0;
	int rc = wire_get_uint(body, "signal", 64, &signal, err);
	if (rc == 0)
		rc = wire_get_uint_or(body, "address", UINT64_MAX, 0, &address, err);
	if (rc < 0)
		return rc;
	inst->crashed = true;
	inst->crash_signal = (int)signal;
	inst->crash_address = address;
	return wire_get_bool_or(body, "stack", false, &inst->crash_stack, err);
}

static int dispatch(struct instance *inst, const struct wire_value *body, int *fds, unsigned nfds,
	struct ramet_err *err)
{
	char type[16];
	int rc = wire_get_str(body, "t", type, sizeof(type), err);
	if (rc < 0)
		return rc;
	if (strcmp(type, "result") == 0)
		return on_result(inst, body, err);
	if (strcmp(type, "event") == 0)
		return instance_on_event(inst, body, err);
	if (strcmp(type, "unleased") == 0)
		return instance_on_unleased(inst, err);
	if (strcmp(type, "crash") == 0)
		return on_crash(inst, body, err);
	if (strcmp(type, "started") == 0)
		return on_started(inst, body, err);
	if (strcmp(type, "failed") == 0 && !inst->host && !inst->running)
		return on_failed(inst, body, err);
	if (strcmp(type, "ready") == 0)
		return on_ready(inst, err);
	if ((inst->host || inst->initialises) && inst->handler->on_message &&
		inst->state == INSTANCE_IDLE)
		return inst->handler->on_message(inst->user, inst, type, body, fds, nfds, err);
	return err_set(err, RAMET_EPROTO, "unexpected message %s", type);
}

int instance_check_frame(struct instance *inst, const unsigned char *data, size_t len, int *fds,
	unsigned nfds, struct ramet_err *err)
{
	struct wire_msg *msg = NULL;
	int rc = wire_parse(data, len, HOST_LIMITS, &msg, err);
	if (rc == 0)
		rc = dispatch(inst, wire_root(msg), fds, nfds, err);
	wire_free(msg);
	return rc;
}

int instance_pack_call(const struct instance *inst, const struct instance_call *call, struct buf *b,
	struct ramet_err *err)
{
	unsigned char random[16];
	if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
		return err_errno(err, RAMET_EIO, "random bytes for a call");
	uint64_t deadline =
		call->deadline_ns ? call->deadline_ns + (uint64_t)inst->mono_offset_ns : 0;
	wire_map(b, 7u + call->events + call->reset);
	wire_kstr(b, "t", "call");
	if (call->reset)
		wire_kbool(b, "reset", true);
	if (call->events)
		wire_kbool(b, "events", true);
	wire_kuint(b, "id", inst->call);
	wire_kstr(b, "fn", call->function);
	wire_kbin(b, "data", call->len ? call->data : "", call->len);
	wire_kbool(b, "binary", call->binary);
	wire_kuint(b, "max_output", call->max_output);
	wire_key(b, "ctx");
	wire_map(b, 6);
	wire_kstr(b, "version", inst->app->id);
	wire_kuint(b, "node", inst->owner->node->config.node);
	wire_kuint(b, "rank", call->rank);
	wire_kuint(b, "size", call->size);
	wire_kuint(b, "deadline", deadline);
	wire_kbin(b, "random", random, sizeof(random));
	return wire_end(b, err);
}
