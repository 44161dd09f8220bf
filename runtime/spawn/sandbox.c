/* The pool of sandboxes. Used ones are thrown away and new ones made through the loop when no
 * sandbox was taken for a while, so that this does not compete with clones; when few are left, or
 * many used ones wait, at once. */
#include "runtime/spawn/sandbox.h"
#include "base/clock.h"
#include "base/fault.h"
#include "runtime/spawn/exec.h"
#include "runtime/spawn/sandbox_proto.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define REFILL_QUIET_NS (2 * NSEC_PER_MSEC)
#define MAKE_TIMEOUT_MS 10000
#define RETRY_NS (500 * NSEC_PER_MSEC) /* after a helper that did not start */
#define USED_MAX 128 /* that wait to be thrown away */
#define USED_NS (20 * NSEC_PER_MSEC) /* and how long: what an instance left in one still runs */
#define ASK_MAX 64 /* sandboxes asked for and not answered: their answers fit the socket */

struct sandbox_pool {
	struct loop *loop;
	struct reaper *reaper;
	struct sandbox_options options;
	struct child helper;
	uint64_t retry_ns; /* no helper is started again before */
	int socket; /* to the helper; -1 after it is lost */
	struct loop_watch watch;
	struct loop_timer refill;
	struct list ready;
	struct list used; /* to be thrown away: nothing of ours runs in them any more */
	unsigned nready, nused, asked, target;
	unsigned alive; /* records, ready and in use, that are not reaped */
	bool destroyed;
};

static void pool_release(struct sandbox_pool *pool)
{
	if (pool->destroyed && pool->alive == 0)
		free(pool);
}

/* --- one sandbox --- */

static void sandbox_free(struct sandbox *sandbox)
{
	struct sandbox_pool *pool = sandbox->pool;
	close_reset(&sandbox->pidfd);
	free(sandbox);
	pool->alive--;
	pool_release(pool);
}

static void sandbox_unlink(struct sandbox *sandbox)
{
	if (list_empty(&sandbox->link))
		return;
	list_remove(&sandbox->link);
	if (sandbox->discarded)
		sandbox->pool->nused--;
	else
		sandbox->pool->nready--;
}

static void on_init_exit(struct child *child, int wstatus, const struct rusage *usage)
{
	(void)wstatus, (void)usage;
	struct sandbox *sandbox = container_of(child, struct sandbox, init);
	bool ours = !list_empty(&sandbox->link) || sandbox->discarded;
	sandbox_unlink(sandbox);
	if (ours)
		sandbox_free(sandbox);
}

void sandbox_kill(const struct sandbox *sandbox)
{
	child_kill(&sandbox->init);
}

/* ends the oldest until no more than that many wait */
static void throw_away(struct sandbox_pool *pool, unsigned left)
{
	while (pool->nused > left) {
		struct sandbox *sandbox = list_first(&pool->used, struct sandbox, link);
		sandbox_unlink(sandbox);
		child_kill(&sandbox->init);
	}
}

static void refill_later(struct sandbox_pool *pool);

void sandbox_discard(struct sandbox *sandbox)
{
	if (!sandbox)
		return;
	struct sandbox_pool *pool = sandbox->pool;
	sandbox->discarded = true;
	sandbox->discarded_ns = now_ns();
	if (!sandbox->init.pid) {
		sandbox_free(sandbox);
		return;
	}
	list_append(&pool->used, &sandbox->link);
	pool->nused++;
	throw_away(pool, pool->destroyed ? 0 : USED_MAX);
	refill_later(pool);
}

/* --- talking to the helper --- */

static void ask(struct sandbox_pool *pool, unsigned count)
{
	struct sandbox_request request = {.count = count};
	ssize_t n = send(pool->socket, &request, sizeof(request), MSG_NOSIGNAL | MSG_DONTWAIT);
	if (n == sizeof(request))
		pool->asked += count;
}

/* errors of making one sandbox are never RAMET_EPEER: that is the helper's end */
static int reply_err(const struct sandbox_reply *reply, struct ramet_err *err)
{
	errno = reply->error;
	return err_errno(err, reply->error == EPERM ? RAMET_EPERM : RAMET_EIO, "sandbox: %.*s",
		(int)sizeof(reply->what) - 1, reply->what);
}

static int admit(struct sandbox_pool *pool, pid_t pid, struct ramet_err *err)
{
	siginfo_t info;
	if (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) < 0)
		return err_set(err, RAMET_EAGAIN, "sandbox: its init ended");
	auto_free struct sandbox *sandbox = calloc(1, sizeof(*sandbox));
	auto_close int pidfd = sandbox ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
	if (pidfd < 0) {
		int rc = sandbox ? err_errno(err, RAMET_EIO, "pidfd_open") : err_nomem(err);
		kill(pid, SIGKILL);
		return rc;
	}
	*sandbox = (struct sandbox){.pool = pool, .pidfd = steal_fd(&pidfd)};
	list_append(&pool->ready, &sandbox->link);
	pool->nready++;
	pool->alive++;
	reaper_add(pool->reaper, &steal_ptr(&sandbox)->init, pid, on_init_exit);
	return 0;
}

/* one answer; RAMET_EAGAIN: none is there */
static int receive(struct sandbox_pool *pool, struct ramet_err *err)
{
	struct sandbox_reply reply;
	ssize_t n = recv(pool->socket, &reply, sizeof(reply), MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return RAMET_EAGAIN;
	if (n != sizeof(reply))
		return err_set(err, RAMET_EPEER, "the sandbox helper ended");
	if (pool->asked)
		pool->asked--;
	if (reply.error)
		return reply_err(&reply, err);
	return reply.pid > 0 ? admit(pool, reply.pid, err) : 0;
}

/* Without its helper the pool makes no more, until one is missing and another helper is started;
 * what is ready and in use lives on. */
static void helper_lost(struct sandbox_pool *pool)
{
	loop_watch_remove(&pool->watch);
	loop_timer_cancel(&pool->refill);
	close_reset(&pool->socket);
	pool->asked = 0;
	throw_away(pool, 0);
}

static void on_helper_exit(struct child *child, int wstatus, const struct rusage *usage)
{
	(void)wstatus, (void)usage;
	helper_lost(container_of(child, struct sandbox_pool, helper));
}

static void refill_now(struct loop_timer *timer)
{
	struct sandbox_pool *pool = container_of(timer, struct sandbox_pool, refill);
	unsigned have = pool->nready + pool->asked;
	throw_away(pool, 0);
	if (pool->socket >= 0 && have < pool->target && pool->asked < ASK_MAX)
		ask(pool, MIN(pool->target - have, ASK_MAX - pool->asked));
}

static void refill_later(struct sandbox_pool *pool)
{
	bool urgent = pool->nready + pool->asked < pool->target / 4;
	if (pool->destroyed || (urgent && pool->refill.heap_pos))
		return;
	uint64_t due = now_ns() + (urgent ? 0 : REFILL_QUIET_NS);
	if (!list_empty(&pool->used)) {
		const struct sandbox *oldest = list_first(&pool->used, struct sandbox, link);
		due = MIN(due, oldest->discarded_ns + USED_NS);
	}
	(void)loop_timer_set(pool->loop, &pool->refill, due, refill_now);
}

static void on_readable(struct loop_watch *watch, uint32_t events)
{
	(void)events;
	struct sandbox_pool *pool = container_of(watch, struct sandbox_pool, watch);
	struct ramet_err err = {0};
	int rc = receive(pool, &err);
	if (rc == RAMET_EPEER)
		helper_lost(pool);
	else if (rc < 0 && rc != RAMET_EAGAIN)
		return; /* told by sandbox_take() when one is missing; the next take asks again */
	if (pool->asked == 0 && pool->nready < pool->target)
		refill_later(pool);
}

static int wait_answer(struct sandbox_pool *pool, struct ramet_err *err)
{
	struct pollfd pfd = {.fd = pool->socket, .events = POLLIN};
	int n;
	do
		n = poll(&pfd, 1, MAKE_TIMEOUT_MS);
	while (n < 0 && errno == EINTR);
	if (n == 0)
		return err_set(err, RAMET_ETIMEOUT, "the sandbox helper did not answer in %d ms",
			MAKE_TIMEOUT_MS);
	return n < 0 ? err_errno(err, RAMET_EIO, "poll") : receive(pool, err);
}

/* --- the pool --- */

/* for tests: what joins it finds it ending */
static __attribute__((unused)) void let_die(const struct sandbox *sandbox)
{
	struct pollfd pfd = {.fd = sandbox->pidfd, .events = POLLIN};
	sandbox_kill(sandbox);
	(void)poll(&pfd, 1, MAKE_TIMEOUT_MS);
}

static struct sandbox *take_ready(struct sandbox_pool *pool)
{
	struct sandbox *sandbox = list_first(&pool->ready, struct sandbox, link);
	sandbox_unlink(sandbox);
	refill_later(pool);
	if (fault_hit("sandbox.dying"))
		let_die(sandbox);
	return sandbox;
}

struct sandbox *sandbox_spare(struct sandbox_pool *pool)
{
	return pool->nready > pool->target / 4 ? take_ready(pool) : NULL;
}

bool sandbox_alive(const struct sandbox *sandbox)
{
	return sandbox->init.pid > 0;
}

/* that its root is made, and a first sandbox */
static int helper_answers(struct sandbox_pool *pool, struct ramet_err *err)
{
	int rc = wait_answer(pool, err);
	if (rc < 0)
		return rc;
	ask(pool, 1); /* what forbids a sandbox may show only now */
	return wait_answer(pool, err);
}

static int start_helper(struct sandbox_pool *pool, struct ramet_err *err)
{
	int sockets[2];
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) < 0)
		return err_errno(err, RAMET_EIO, "socketpair");
	pool->socket = sockets[0];
	const char *store = pool->options.store_dir, *hidden = pool->options.hide_dir;
	int fds[2 + SANDBOX_DATA_MAX] = {sockets[1]};
	const char *argv[6 + SANDBOX_DATA_MAX] = {
		pool->options.helper, store ? store : "", hidden ? hidden : ""};
	unsigned nfds = 1, argc = 3;
	if (pool->options.view_fd >= 0) {
		fds[nfds++] = pool->options.view_fd;
		argv[argc++] = SANDBOX_VIEW_OPTION;
	}
	if (pool->options.ndata > 0)
		argv[argc++] = SANDBOX_DATA_OPTION;
	for (unsigned i = 0; i < pool->options.ndata && i < SANDBOX_DATA_MAX; i++) {
		const struct sandbox_data *data = &pool->options.data[i];
		if (data->fd < 0)
			continue;
		fds[nfds++] = data->fd;
		argv[argc++] = data->path;
	}
	pid_t pid;
	int rc = exec_helper(argv, fds, nfds, &pid, err);
	close(sockets[1]);
	if (rc < 0)
		return rc;
	reaper_add(pool->reaper, &pool->helper, pid, on_helper_exit);
	rc = helper_answers(pool, err);
	return rc < 0
		? rc
		: loop_watch_add(pool->loop, &pool->watch, pool->socket, EPOLLIN, on_readable, err);
}

static void end_helper(struct sandbox_pool *pool)
{
	helper_lost(pool);
	child_kill(&pool->helper);
	reaper_forget(pool->reaper, &pool->helper);
}

static int restart_helper(struct sandbox_pool *pool, struct ramet_err *err)
{
	if (now_ns() < pool->retry_ns)
		return err_set(err, RAMET_EPEER, "the sandbox helper ended");
	end_helper(pool);
	int rc = start_helper(pool, err);
	if (rc < 0) {
		end_helper(pool);
		pool->retry_ns = now_ns() + RETRY_NS;
	}
	return rc;
}

int sandbox_take(struct sandbox_pool *pool, struct sandbox **ret_sandbox, struct ramet_err *err)
{
	while (list_empty(&pool->ready)) {
		int rc = pool->socket < 0 ? restart_helper(pool, err) : 0;
		if (rc < 0)
			return rc;
		if (!list_empty(&pool->ready))
			break;
		if (pool->asked == 0)
			ask(pool, 1);
		rc = wait_answer(pool, err);
		if (rc == RAMET_EPEER)
			helper_lost(pool);
		if (rc < 0 && rc != RAMET_EAGAIN)
			return rc;
	}
	*ret_sandbox = take_ready(pool);
	return 0;
}

unsigned sandbox_pool_ready(const struct sandbox_pool *pool)
{
	return pool->nready;
}

int sandbox_pool_create(struct loop *loop, struct reaper *reaper,
	const struct sandbox_options *options, struct sandbox_pool **ret_pool,
	struct ramet_err *err)
{
	AUTO(sandbox_pool_destroy) struct sandbox_pool *pool = calloc(1, sizeof(*pool));
	if (!pool)
		return err_nomem(err);
	*pool = (struct sandbox_pool){.loop = loop,
		.reaper = reaper,
		.options = *options,
		.socket = -1,
		.target = options->target};
	list_init(&pool->ready);
	list_init(&pool->used);
	int rc = start_helper(pool, err);
	if (rc < 0)
		return rc;
	refill_later(pool);
	*ret_pool = steal_ptr(&pool);
	return 0;
}

/* What the helper is making must become known, or nobody would kill it. */
static void drain_helper(struct sandbox_pool *pool)
{
	int rc = pool->socket >= 0 && pool->helper.pid ? 0 : RAMET_EPEER;
	(void)shutdown(pool->socket, SHUT_WR); /* it ends when it has answered */
	while (rc != RAMET_EPEER && rc != RAMET_ETIMEOUT)
		rc = wait_answer(pool, NULL);
}

static void destroy_all(struct sandbox_pool *pool, struct list *list)
{
	while (!list_empty(list)) {
		struct sandbox *sandbox = list_first(list, struct sandbox, link);
		child_kill(&sandbox->init);
		reaper_forget(pool->reaper, &sandbox->init);
		sandbox_unlink(sandbox);
		close_reset(&sandbox->pidfd);
		free(sandbox);
		pool->alive--;
	}
}

void sandbox_pool_destroy(struct sandbox_pool *pool)
{
	if (!pool)
		return;
	drain_helper(pool);
	end_helper(pool);
	destroy_all(pool, &pool->ready);
	destroy_all(pool, &pool->used);
	pool->destroyed = true;
	pool_release(pool);
}
