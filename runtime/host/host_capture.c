/* capture: the engine prepares, the safepoint leaves a shadow behind, and execution goes on twice:
 * here in the host at once, and some day in each clone. */
#include "runtime/host/host_internal.h"

#include "base/err.h"
#include "rfork/arch/syscall.h"
#include "rfork/safepoint.h"
#include "rfork/safepoint_threads.h"
#include "runtime/host/crash.h"
#include "runtime/host/interpose.h"
#include "runtime/host/mpi.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define PARK_MS_MAX 600000

static void say_captured(struct host *host, struct safepoint_shadow *shadow)
{
	unsigned char bytes[96];
	struct message_writer w = {bytes, bytes + sizeof(bytes), false};
	const int fds[] = {shadow->pidfd, shadow->ready_fd};
	message_map(&w, 3);
	message_kstr(&w, "t", "captured");
	message_kuint(&w, "state", shadow->state);
	message_kuint(&w, "stall", shadow->stall_ns);
	host_answer(host, &w, bytes, fds, 2);
	close(shadow->pidfd);
	close(shadow->ready_fd);
}

static void say_started(struct host *host, uint64_t first_ns)
{
	unsigned char bytes[96];
	struct message_writer w = {bytes, bytes + sizeof(bytes), false};
	message_map(&w, 3);
	message_kstr(&w, "t", "started");
	message_kuint(&w, "first", first_ns);
	message_kuint(&w, "hooks", host_clone_now_ns());
	host_answer(host, &w, bytes, NULL, 0);
}

static void end_clone(struct host *host, const struct ramet_err *err)
{
	/* not by stderr, whose lock a thread may hold that was not made again */
	dprintf(STDERR_FILENO, "ramet host: a clone cannot run: %s\n", err->msg);
	host->clone = true;
	channel_forget(&host->channel);
	host_answer_short(host, "failed", RAMET_ENGINE_SYSTEM, err);
	host_stop(host, RAMET_HOST_CLONE);
}

/* A clone that could repeat its siblings' random numbers must not run. */
static void begin_clone(struct host *host, const struct safepoint_shadow *shadow, uint64_t first_ns)
{
	struct {
		uint64_t salt;
		unsigned char seeds[ENGINES_MAX][RAMET_ENGINE_SEED_BYTES];
	} random;
	const size_t need =
		sizeof(random.salt) + host->engines.count * (size_t)RAMET_ENGINE_SEED_BYTES;
	struct ramet_err err;
	interpose_in_clone();
	crash_in_clone((pid_t)sys0(__NR_getpid));
	if (shadow->threads) { /* not later: what comes now may need what another thread holds */
		host->threads = shadow->renumbered ? RAMET_HOST_NEW_IDS : RAMET_HOST_SAME_IDS;
		safepoint_release();
	}
	channel_forget(&host->channel);
	host->clone = true;
	host->captured = true;
	int rc = 0;
	/* the kernel's own, not the C library's, which may keep a state of its own */
	if (sys3(__NR_getrandom, &random, (long)need, 0) != (long)need)
		rc = err_set(&err, RAMET_EIO, "no fresh random bytes");
	if (rc == 0)
		rc = engines_after_clone(&host->engines, random.seeds, &err);
	if (rc < 0) {
		end_clone(host, &err);
		return;
	}
	host->salt = random.salt;
	say_started(host, first_ns);
}

/* how long threads have to stop: the app's own word, if it is a number */
static void set_patience(void)
{
	const char *text = getenv("RAMET_PARK_MS");
	unsigned long ms = text ? strtoul(text, NULL, 10) : 0;
	if (ms > 0 && ms <= PARK_MS_MAX)
		safepoint_threads_patience((unsigned)ms);
}

int host_capture(struct host *host, const struct host_message *message)
{
	struct safepoint_shadow shadow = {.pidfd = -1, .ready_fd = -1};
	struct ramet_err err = {0};
	uint64_t first_ns = 0;
	if (!host->loaded && !host->based)
		return RAMET_EPROTO;
	set_patience();
	int rc = host_has_secrets() ? err_set(&err, RAMET_EREFUSED, "it has been given secrets")
				    : engines_before_snapshot(&host->engines, &err);
	if (rc == 0)
		rc = mpi_refuse(&err);
	fflush(NULL);
	channel_trim(&host->channel);
	safepoint_close_on_fork((unsigned)message->close & SAFEPOINT_CLOSE_ALL);
	if (rc == 0)
		rc = safepoint_capture(host->channel.fd, &shadow, &first_ns, &err);
	if (rc < 0)
		host_answer_err(host, "refused", NULL, RAMET_ENGINE_REFUSED, &err);
	else if (rc == SAFEPOINT_CLONE)
		begin_clone(host, &shadow, first_ns);
	else if (rc == SAFEPOINT_CLONE_FAILED)
		end_clone(host, &err);
	else {
		host->captured = true;
		say_captured(host, &shadow);
	}
	return 0;
}
