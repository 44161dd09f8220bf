/* The life of a host: an engine, a control socket, one message after the other. */
#include "runtime/host/host_internal.h"

#include "base/err.h"
#include "rfork/arch/syscall.h"
#include "rfork/safepoint.h"
#include "runtime/host/clone_state.h"
#include "runtime/host/crash.h"
#include "runtime/host/deadline.h"
#include "runtime/host/interpose.h"
#include "runtime/host_proto.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define DETAIL_MAX 512

static struct host host HOST_CLONE_STATE;

uint64_t host_now_ns(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

uint64_t host_clone_now_ns(void)
{
	struct timespec ts = {0};
	sys2(__NR_clock_gettime, CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

void host_stop(struct host *h, enum ramet_host_status status)
{
	h->stop = true;
	h->status = status;
}

void host_lost(struct host *h, const struct ramet_err *err)
{
	if (err->code != RAMET_ECLOSED)
		fprintf(stderr, "ramet host: %s\n", err->msg);
	host_stop(h, err->code == RAMET_EPROTO ? RAMET_HOST_PROTOCOL : RAMET_HOST_LOST);
}

int ramet_host_register(const struct ramet_engine_ops *ops, struct ramet_err *err)
{
	return engines_add(&host.engines, ops, err);
}

enum ramet_host_threads ramet_host_threads(void)
{
	return host.threads;
}

static int control_fd(struct ramet_err *err)
{
	const char *text = getenv("RAMET_CONTROL_FD");
	if (!text)
		return HOST_CONTROL_FD;
	char *end;
	long fd = strtol(text, &end, 10);
	if (*text == 0 || *end || fd < 0 || fd > 1 << 20)
		return err_set(err, RAMET_EINVAL, "RAMET_CONTROL_FD=%s is no descriptor", text);
	return (int)fd;
}

static void say_ready(const char *detail)
{
	unsigned char bytes[DETAIL_MAX + 128];
	struct message_writer w = {bytes, bytes + sizeof(bytes), false};
	message_map(&w, 3);
	message_kstr(&w, "t", "ready");
	message_kstr(&w, "engine", host.engines.items[ENGINES_OWN].ops->name);
	message_str(&w, "detail");
	message_text(&w, detail, strlen(detail), DETAIL_MAX);
	host_answer(&host, &w, bytes, NULL, 0);
}

static int start(struct ramet_err *err)
{
	char detail[DETAIL_MAX] = "";
	if (host.engines.count == 0)
		return err_set(err, RAMET_EINVAL, "no engine is registered");
	int fd = control_fd(err);
	if (fd < 0)
		return fd;
	channel_init(&host.channel, fd);
	crash_watch(&host.channel);
	(void)fcntl(fd, F_SETFD, FD_CLOEXEC); /* not for the programs that functions run */
	safepoint_begin();
	interpose_begin();
	signal(SIGPIPE, SIG_IGN);
	unsetenv("LD_BIND_NOW"); /* it has done its work, and is not for other programs */
	struct engines_one *own = &host.engines.items[ENGINES_OWN];
	int rc = own->ops->init(DEADLINE_SIGNAL, detail, sizeof(detail), &own->engine, err);
	if (rc == 0)
		rc = deadline_init(err);
	if (rc == 0)
		say_ready(detail);
	return rc;
}

/* --- messages --- */

static int dispatch(const struct host_message *message)
{
	if (message_is(message->type, "call"))
		return host_call(&host, message);
	if (message_is(message->type, "lease"))
		return host_lease(&host, message);
	if (message_is(message->type, "unlease"))
		return host_unlease(&host);
	if (message_is(message->type, "secrets"))
		return host_secrets(&host, message);
	if (message_is(message->type, "capture"))
		return host_capture(&host, message);
	if (message_is(message->type, "load"))
		return host_load(&host, message);
	if (message_is(message->type, "taken"))
		return 0; /* of a call that is over */
	if (message_is(message->type, "base"))
		return host_base(&host, message);
	if (!message_is(message->type, "exit"))
		return RAMET_EPROTO;
	host_stop(&host, RAMET_HOST_OK);
	return 0;
}

static void serve_one(void)
{
	const unsigned char *data;
	size_t len;
	struct host_message message;
	struct ramet_err err;
	engines_wait_begin(&host.engines);
	int rc = channel_read(&host.channel, &data, &len, &err);
	engines_wait_end(&host.engines);
	if (rc < 0) {
		host_lost(&host, &err);
		return;
	}
	rc = host_message_parse(data, len, &message);
	if (rc == 0)
		rc = dispatch(&message);
	if (rc < 0) {
		(void)err_set(&err, RAMET_EPROTO, "rametd sent a message that is not understood");
		host_lost(&host, &err);
	}
}

int ramet_host_run(void)
{
	struct ramet_err err = {0};
	if (start(&err) < 0) {
		fprintf(stderr, "ramet host: %s\n", err.msg);
		return RAMET_HOST_LOAD;
	}
	while (!host.stop)
		if (!host.leased || host_serve_lease(&host))
			serve_one();
	/* A clone ends as a child of fork() should, without what its parent registered for exit();
	 * what calls printed was flushed after each. */
	if (host.clone)
		_exit(host.status);
	return host.status;
}
