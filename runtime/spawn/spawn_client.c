/* The life of the connection to ramet-spawn: start and hello, loss, stop; and the paths of the
 * store. */
#include "runtime/spawn/spawn_client.h"
#include "base/clock.h"
#include "runtime/spawn/cgroup.h"
#include "runtime/spawn/exec.h"
#include "runtime/spawn/spawn_client_internal.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define SWEEP_MS 2000 /* until the processes of a killed ramet-spawn are gone too */
#define STOP_MS 5000 /* ramet-spawn gives up on its own children after 3000 */

/* --- ending --- */

/* waits for the process to end by itself, then makes it */
static void reap(struct spawn_client *client, int patience_ms)
{
	if (!client->pid)
		return;
	auto_close int pidfd = (int)syscall(SYS_pidfd_open, client->pid, 0);
	struct pollfd pfd = {.fd = pidfd, .events = POLLIN};
	int n;
	do
		n = poll(&pfd, 1, patience_ms);
	while (n < 0 && errno == EINTR);
	int status = 0;
	if (pidfd < 0 || n <= 0)
		kill(client->pid, SIGKILL);
	while (waitpid(client->pid, &status, 0) < 0 && errno == EINTR)
		;
	client->killed = WIFSIGNALED(status);
	client->pid = 0;
}

void spawn_client_lost(struct spawn_client *client, const struct ramet_err *why)
{
	if (!client->conn)
		return;
	frame_conn_close(client->conn);
	client->conn = NULL;
	reap(client, STOP_MS);
	spawn_client_fail_all(client, why);
	if (client->handler)
		client->handler->on_lost(client->user, why);
}

static void on_closed(void *user, const struct ramet_err *err)
{
	struct ramet_err why = *err;
	if (err->code == RAMET_EPEER)
		(void)err_set(&why, RAMET_EPEER,
			"ramet-spawn ended; every instance of this node is dead");
	spawn_client_lost(user, &why);
}

static const struct frame_handler conn_handler = {spawn_client_on_frame, on_closed};

void spawn_client_stop(struct spawn_client *client)
{
	if (!client)
		return;
	frame_conn_close(client->conn);
	client->conn = NULL;
	reap(client, STOP_MS);
	if (client->killed)
		cgroups_sweep(client->node_name, SWEEP_MS);
	spawn_client_fail_all(client, NULL);
	buf_fini(&client->out);
	free(client);
}

/* --- hello --- */

static int read_caps(const struct wire_value *body, struct spawn_caps *ret, struct ramet_err *err)
{
	struct {
		const char *key;
		bool *value;
	} bools[] = {{"userfaultfd", &ret->userfaultfd}, {"uffd_wp", &ret->uffd_wp},
		{"timens", &ret->timens}, {"seccomp", &ret->seccomp}, {"sandbox", &ret->sandbox},
		{"fuse", &ret->fuse}};
	int rc = 0;
	for (size_t i = 0; rc == 0 && i < ARRAY_LEN(bools); i++)
		rc = wire_get_bool_or(body, bools[i].key, false, bools[i].value, err);
	if (rc == 0)
		rc = wire_get_str(body, "cgroup", ret->cgroup, sizeof(ret->cgroup), err);
	if (rc == 0)
		rc = wire_get_str_or(body, "detail", "", ret->detail, sizeof(ret->detail), err);
	return rc;
}

static int parse_hello(
	struct spawn_client *client, const void *data, size_t len, struct ramet_err *err)
{
	struct wire_msg *msg = NULL;
	char type[16];
	int rc = wire_parse(data, len, WIRE_LIMITS_CONTROL, &msg, err);
	if (rc < 0)
		return rc;
	const struct wire_value *body = wire_root(msg);
	rc = wire_get_str(body, "t", type, sizeof(type), err);
	if (rc == 0 && strcmp(type, "hello") == 0) {
		rc = read_caps(body, &client->caps, err);
	} else if (rc == 0 && strcmp(type, "failed") == 0) {
		rc = wire_get_err(body, "error", err, err);
		rc = rc < 0 ? rc : err->code;
	} else if (rc == 0) {
		rc = err_set(err, RAMET_EPROTO, "ramet-spawn began with '%s'", type);
	}
	wire_free(msg);
	return rc;
}

static int wait_hello(struct spawn_client *client, int fd, struct ramet_err *err)
{
	auto_free unsigned char *data = NULL;
	size_t len = 0;
	unsigned nfds = 0;
	uint64_t deadline = now_ns() + SPAWN_START_MS * NSEC_PER_MSEC;
	int rc = frame_read(fd, SPAWN_MAX_FRAME, &data, &len, NULL, &nfds, deadline, err);
	if (rc < 0)
		return err_prefix(err, "ramet-spawn did not start");
	return parse_hello(client, data, len, err);
}

/* --- starting --- */

#define ARGS_MAX 16

struct command {
	const char *argv[ARGS_MAX];
	unsigned argc;
	char sandboxes[16], stubs[16];
};

static void command_add(struct command *command, const char *option, const char *value)
{
	if (!value)
		return;
	command->argv[command->argc++] = option;
	command->argv[command->argc++] = value;
}

static void command_build(struct command *command, const struct spawn_options *options)
{
	*command = (struct command){.argv = {options->spawn_path}, .argc = 1};
	snprintf(command->sandboxes, sizeof(command->sandboxes), "%u", options->sandboxes);
	snprintf(command->stubs, sizeof(command->stubs), "%u", options->stubs);
	command_add(command, "--store", options->store_dir);
	command_add(command, "--hide", options->hide_dir);
	command_add(command, "--node", options->node_name);
	command_add(command, "--stub", options->stub_path);
	command_add(command, "--log", options->log_level);
	command_add(command, "--sandboxes", options->sandboxes ? command->sandboxes : NULL);
	command_add(command, "--stubs", options->stubs ? command->stubs : NULL);
}

static int check_options(const struct spawn_options *options, struct ramet_err *err)
{
	const char *store = options->store_dir;
	if (!options->spawn_path || options->spawn_path[0] != '/')
		return err_set(err, RAMET_EINVAL, "the path of ramet-spawn is not absolute");
	if (store &&
		(store[0] != '/' || strlen(store) >= PATH_MAX || strlen(store) < 2 ||
			store[strlen(store) - 1] == '/'))
		return err_set(err, RAMET_EINVAL, "not the path of a store: %.200s", store);
	return 0;
}

static int start(
	struct spawn_client *client, const struct spawn_options *options, struct ramet_err *err)
{
	int sockets[2];
	struct command command;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) < 0)
		return err_errno(err, RAMET_EIO, "socketpair");
	auto_close int ours = sockets[0];
	auto_close int theirs = sockets[1];
	command_build(&command, options);
	int rc = exec_helper(command.argv, &theirs, 1, &client->pid, err);
	if (rc < 0)
		return rc;
	close_reset(&theirs);
	rc = wait_hello(client, ours, err);
	if (rc == 0)
		rc = frame_conn_create(client->loop, ours, SPAWN_MAX_FRAME, SPAWN_MAX_QUEUE,
			&conn_handler, client, &client->conn, err);
	if (rc == 0)
		(void)steal_fd(&ours);
	return rc;
}

int spawn_client_start(struct loop *loop, const struct spawn_options *options,
	const struct spawn_handler *handler, void *user, struct spawn_client **ret_client,
	struct ramet_err *err)
{
	int rc = check_options(options, err);
	if (rc < 0)
		return rc;
	AUTO(spawn_client_stop) struct spawn_client *client = calloc(1, sizeof(*client));
	if (!client)
		return err_nomem(err);
	client->loop = loop;
	client->handler = handler;
	client->user = user;
	client->next_req = 1;
	if (options->node_name)
		snprintf(client->node_name, sizeof(client->node_name), "%s", options->node_name);
	if (options->store_dir)
		snprintf(client->store_dir, sizeof(client->store_dir), "%s", options->store_dir);
	rc = start(client, options, err);
	if (rc < 0)
		return rc;
	*ret_client = steal_ptr(&client);
	return 0;
}

void spawn_client_handle(
	struct spawn_client *client, const struct spawn_handler *handler, void *user)
{
	client->handler = handler;
	client->user = user;
}

const struct spawn_caps *spawn_client_caps(const struct spawn_client *client)
{
	return &client->caps;
}

pid_t spawn_client_pid(const struct spawn_client *client)
{
	return client->pid;
}

/* --- paths --- */

static int replace_prefix(const char *path, const char *from, const char *to, char *dst, size_t cap,
	struct ramet_err *err)
{
	size_t len = strlen(from);
	bool below = len && strncmp(path, from, len) == 0 && (!path[len] || path[len] == '/');
	int n = snprintf(dst, cap, "%s%s", below ? to : "", below ? path + len : path);
	if (n < 0 || (size_t)n >= cap)
		return err_set(err, RAMET_ELIMIT, "a path is too long: %.200s", path);
	return 0;
}

int spawn_path_inside(const struct spawn_client *client, const char *path, char *dst, size_t cap,
	struct ramet_err *err)
{
	const char *from = client->caps.sandbox ? client->store_dir : "";
	return replace_prefix(path, from, SPAWN_INSIDE, dst, cap, err);
}

int spawn_path_outside(const struct spawn_client *client, const char *path, char *dst, size_t cap,
	struct ramet_err *err)
{
	bool translate = client->caps.sandbox && client->store_dir[0];
	return replace_prefix(
		path, translate ? SPAWN_INSIDE : "", client->store_dir, dst, cap, err);
}
