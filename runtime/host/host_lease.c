/* Calls that come through the slots of a lease (runtime/slots/): one after the other, spinning or
 * sleeping in between. */
#include "runtime/host/host_internal.h"

#include "base/cleanup.h"
#include "base/err.h"
#include "base/quick_clock.h"
#include "rfork/arch/syscall.h"
#include "runtime/host/clone_state.h"
#include "runtime/host/deadline.h"
#include "runtime/host_proto.h"
#include "runtime/slots/slots.h"
#include "runtime/slots/spin.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>

#define LISTEN_AFTER 256 /* looks for calls after which rametd is listened to */
#define LISTEN_AFTER_NS 1000000000u /* the same while it waits for its one call */
#define DOZE_NS 10000000u /* the same for sleeps in which rametd is not heard; each is as long */
#define SMALL 4096 /* inputs up to this size are copied before they are used */
#define TINY 1024 /* up to this size to where the rest of the lease is */

/* the process's one lease; nothing of it exists in a clone, since none is given before a capture */
static struct {
	struct slots_instance slots;
	int control_fd;
	int wake_fd, client_fd; /* eventfds */
	int epoll_fd; /* of wake_fd and control_fd */
	uint64_t offset_ns;
	size_t max_output;
	const struct engines_one *one;
	unsigned function; /* of that engine */
	struct ramet_engine_context context;
	uint64_t salt; /* of the calls' random ids */
	struct spin spin;
	volatile sig_atomic_t running; /* the slot whose call runs */
	bool once, reset;
	unsigned slot; /* once: its own */
	unsigned looks; /* for calls, since rametd was last listened to */
	uint64_t listened_ns; /* when a sleep last listened to it */
	unsigned char tiny[TINY];
} lease HOST_CLONE_STATE;
static unsigned char input[SMALL];

static struct quick_clock quick_clock; /* of this lease, where it has more than one call */

static uint64_t lease_now_ns(void)
{
	return lease.once ? host_clone_now_ns() : quick_clock_now_ns(&quick_clock);
}

static void let_go(struct host *host)
{
	slots_close(&lease.slots.slots);
	close_reset(&lease.epoll_fd);
	close_reset(&lease.wake_fd);
	close_reset(&lease.client_fd);
	host->leased = false;
}

/* Edge-triggered, so that the eventfd need not be read: one system call for each sleep. */
static int open_epoll(int wake_fd, int control_fd)
{
	auto_close int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event wake = {.events = EPOLLIN | EPOLLET, .data.fd = wake_fd};
	struct epoll_event control = {.events = EPOLLIN, .data.fd = control_fd};
	if (epoll_fd < 0 || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, wake_fd, &wake) < 0 ||
		epoll_ctl(epoll_fd, EPOLL_CTL_ADD, control_fd, &control) < 0)
		return -1;
	return steal_fd(&epoll_fd);
}

/* What a call touches, touched while nobody waits for it: each page that it would meet first costs
 * it as much as a wake-up. */
static void get_ready(void)
{
	if (slots_waiting_own(&lease.slots, lease.slot))
		return;
	if (lease.one->ops->ready)
		lease.one->ops->ready(lease.one->engine, lease.function);
}

/* a clone has one from its beginning, for one lease */
static bool get_salt(struct host *host)
{
	lease.salt = host->salt;
	host->salt = 0;
	return lease.salt != 0 ||
		getrandom(&lease.salt, sizeof(lease.salt), 0) == (ssize_t)sizeof(lease.salt);
}

int host_lease(struct host *host, const struct host_message *message)
{
	unsigned function;
	struct ramet_err err = {0};
	auto_close int memory = channel_take_fd(&host->channel, 0);
	auto_close int wake = channel_take_fd(&host->channel, 1);
	auto_close int client = channel_take_fd(&host->channel, 2);
	if (!host->loaded || host->leased || client < 0 || message->slot >= SLOTS_COUNT)
		return RAMET_EPROTO;
	memset(&lease.slots, 0, sizeof(lease.slots));
	memset(&lease.context, 0, sizeof(lease.context));
	quick_clock = (struct quick_clock){0};
	if (host_read_context(message->context, &lease.context) < 0 ||
		!host_find_function(host, message->function, &function) || !get_salt(host) ||
		slots_adopt(memory, message->once ? (int)message->slot : -1, &lease.slots.slots,
			&err) < 0)
		return RAMET_EPROTO;
	steal_fd(&memory);
	lease.epoll_fd = -1;
	if (!message->once) { /* else it waits on its slot */
		lease.epoll_fd = open_epoll(wake, host->channel.fd);
		if (lease.epoll_fd < 0) {
			slots_close(&lease.slots.slots);
			return RAMET_EPROTO;
		}
	}
	lease.control_fd = host->channel.fd;
	lease.wake_fd = steal_fd(&wake);
	lease.client_fd = steal_fd(&client);
	lease.offset_ns = message->offset;
	lease.max_output =
		message->max_output < SLOTS_PAYLOAD_MAX ? message->max_output : SLOTS_PAYLOAD_MAX;
	lease.one = engines_of(&host->engines, function, &lease.function);
	lease.context.function = host->functions[function].name;
	lease.once = message->once;
	lease.reset = message->reset;
	lease.slot = (unsigned)message->slot;
	if (lease.once) {
		slots_set_servant(&lease.slots, (int32_t)message->pid, (unsigned)message->kind,
			(uint32_t)message->id);
		get_ready();
	}
	host->leased = true;
	return 0;
}

int host_unlease(struct host *host)
{
	unsigned char bytes[32];
	struct message_writer w = {bytes, bytes + sizeof(bytes), false};
	if (!host->leased)
		return RAMET_EPROTO;
	let_go(host);
	message_map(&w, 1);
	message_kstr(&w, "t", "unleased");
	host_answer(host, &w, bytes, NULL, 0);
	return 0;
}

/* --- one call --- */

static void wake_client(void)
{
	const uint64_t one = 1;
	ssize_t n = write(lease.client_fd, &one, sizeof(one));
	(void)n; /* full: it is awake */
}

static void finish(const struct slots_call *call, const struct slots_outcome *outcome)
{
	if (slots_finish(&lease.slots, call, outcome))
		wake_client();
}

static void answer_error(
	const struct slots_call *call, const struct ramet_engine_error *error, uint64_t run_ns)
{
	struct slots_outcome outcome = {.status = error->code, .run_ns = run_ns};
	auto_free unsigned char *bytes = malloc(HOST_ERROR_CAP);
	struct message_writer w = {bytes, bytes + (bytes ? HOST_ERROR_CAP : 0), false};
	message_map(&w, 1);
	host_write_error(&w, error);
	outcome.len = w.full ? 0 : (size_t)(w.at - bytes);
	void *to = slots_output(&lease.slots, call, outcome.len);
	if (to && bytes && outcome.len > 0)
		memcpy(to, bytes, outcome.len);
	else
		outcome.len = 0;
	finish(call, &outcome);
}

static void answer_err(const struct slots_call *call, enum ramet_engine_kind kind,
	const struct ramet_err *err, uint64_t run_ns)
{
	const struct ramet_engine_error error = {
		.code = err->code, .kind = kind, .message = {err->msg, strlen(err->msg)}};
	answer_error(call, &error, run_ns);
}

static void answer_result(
	const struct slots_call *call, const struct ramet_engine_result *result, uint64_t run_ns)
{
	struct ramet_err err;
	struct slots_outcome outcome = {
		.binary = result->binary, .len = result->len, .run_ns = run_ns};
	if (result->len > lease.max_output) {
		(void)err_set(&err, RAMET_ELIMIT,
			"the output of %s has %zu bytes, its limit is %zu", lease.context.function,
			result->len, lease.max_output);
		answer_err(call, RAMET_ENGINE_LIMIT, &err, run_ns);
		return;
	}
	void *to = slots_output(&lease.slots, call, result->len);
	if (!to) {
		(void)err_nomem(&err);
		answer_err(call, RAMET_ENGINE_SYSTEM, &err, run_ns);
		return;
	}
	if (to != result->data && result->len > 0)
		memmove(to, result->data, result->len);
	finish(call, &outcome);
}

static bool is_cancelled(void)
{
	return slots_cancelled(&lease.slots, (unsigned)lease.running);
}

/* Only large answers: a small one would lie over the input, which the engine still reads. */
static void *room(void *arg, size_t len)
{
	const struct slots_call *call = arg;
	return len > SMALL && len <= lease.max_output ? slots_output(&lease.slots, call, len)
						      : NULL;
}

static void prepare(struct slots_call *call, struct ramet_engine_call *ret)
{
	*ret = (struct ramet_engine_call){
		.function = lease.function,
		.binary = call->binary,
		.data = call->data,
		.len = call->len,
		.max_output = lease.max_output,
		.room = room,
		.room_arg = call,
		.context = lease.context,
	};
	if (call->len <= SMALL) {
		unsigned char *copy = call->len <= TINY ? lease.tiny : input;
		memcpy(copy, call->data, call->len);
		ret->data = copy;
	}
	ret->context.rank = call->rank;
	ret->context.size = call->size;
	ret->context.deadline_ns = call->deadline_ns ? call->deadline_ns + lease.offset_ns : 0;
	memcpy(ret->context.id, &lease.salt, sizeof(lease.salt));
	memcpy(ret->context.id + sizeof(lease.salt), &call->number, sizeof(call->number));
}

static void run(struct host *host, struct slots_call *slots_call)
{
	struct ramet_engine_call call;
	struct ramet_engine_result result = {0};
	struct ramet_engine_error error = {.code = RAMET_EINTERNAL, .kind = RAMET_ENGINE_SYSTEM};
	prepare(slots_call, &call);
	lease.running = (sig_atomic_t)slots_call->slot;
	uint64_t begin_ns = lease_now_ns();
	if (call.context.deadline_ns != 0 && call.context.deadline_ns <= begin_ns) {
		struct ramet_err err;
		(void)err_set(&err, RAMET_EDEADLINE, "the deadline passed before the call began");
		answer_err(slots_call, RAMET_ENGINE_LIMIT, &err, 0);
		return;
	}
	const struct engines_one *one = lease.one;
	deadline_arm(one, call.context.deadline_ns, is_cancelled);
	int rc = one->ops->call(one->engine, &call, &result, &error);
	enum deadline_end how = deadline_disarm();
	uint64_t run_ns = span_ns(begin_ns, lease_now_ns());
	if (rc < 0) {
		host_ended(host, how, &error);
		answer_error(slots_call, &error, run_ns);
	} else {
		answer_result(slots_call, &result, run_ns);
	}
	one->ops->done(one->engine);
	if (lease.reset)
		host_reset(host, one);
	if (host->leaves)
		host_stop(host, RAMET_HOST_OK);
}

/* --- in between --- */

static bool something(const void *arg)
{
	return slots_waiting(arg);
}

/* true: rametd has said something, or has gone */
static bool sleep_in_epoll(void)
{
	struct epoll_event events[2];
	bool told = false;
	int n = epoll_wait(lease.epoll_fd, events, 2, -1);
	lease.listened_ns = host_now_ns();
	lease.looks = 0;
	for (int i = 0; i < n; i++)
		told = told || events[i].data.fd == lease.control_fd;
	return told;
}

static bool wait_for_something(struct host *host)
{
	bool told = false;
	if (slots_instance_spins(&lease.slots, &lease.spin) &&
		spin_until(&lease.spin, something, &lease.slots))
		return false;
	if (channel_buffered(&host->channel))
		return true;
	engines_wait_begin(&host->engines);
	/* Not only as long as is left: a timer that is due before the kernel's next tick is set in
	 * the hardware at each sleep and taken back at its end, which costs a virtual machine five
	 * times what the sleep does. */
	if (host_now_ns() - lease.listened_ns < DOZE_NS) {
		slots_instance_dozes(&lease.slots, DOZE_NS);
	} else if (!slots_instance_sleeps(&lease.slots)) {
		told = sleep_in_epoll();
		slots_instance_wakes(&lease.slots);
	}
	engines_wait_end(&host->engines);
	return told;
}

static void broken(struct host *host)
{
	fprintf(stderr, "ramet host: the client of a lease wrote what cannot be\n");
	host_stop(host, RAMET_HOST_PROTOCOL);
}

/* 1: there is a call; 0: not yet; or the client wrote what cannot be */
static int wait_once(struct host *host, struct slots_call *ret_call)
{
	int rc = slots_take_own(&lease.slots, lease.slot, ret_call);
	if (rc != 0)
		return rc;
	engines_wait_begin(&host->engines);
	slots_wait_own(&lease.slots, lease.slot, LISTEN_AFTER_NS);
	engines_wait_end(&host->engines);
	return slots_take_own(&lease.slots, lease.slot, ret_call);
}

/* one call, and then the end: nothing of it reaches another call */
static bool serve_once(struct host *host)
{
	struct slots_call call;
	int rc = wait_once(host, &call);
	if (rc == 1) {
		run(host, &call);
		if (slots_client_waits(&lease.slots)) /* perhaps for this CPU: an end takes time */
			sys0(__NR_sched_yield);
		host_stop(host, RAMET_HOST_OK);
	} else if (rc < 0) {
		broken(host);
	}
	return rc == 0 && channel_pending(&host->channel);
}

bool host_serve_lease(struct host *host)
{
	struct slots_call call;
	if (lease.once)
		return serve_once(host);
	if (++lease.looks >= LISTEN_AFTER) {
		lease.looks = 0;
		if (channel_pending(&host->channel))
			return true;
	}
	int rc = slots_take(&lease.slots, &call);
	if (rc == 0)
		return wait_for_something(host);
	if (rc == 1) {
		run(host, &call);
		return false;
	}
	broken(host);
	return false;
}
