/* What an instance and we talk through: its control socket, and the pipe that is its output.
 * Making, watching and closing them costs more than all else that we do for a clone that serves one
 * call. So the clones of a line have them one after the other: we keep the instance's ends, too,
 * and when one has ended as it should and has left nothing in them, the next of the same function
 * gets them. */
#include "cluster/instances_internal.h"

#include "base/cleanup.h"
#include "cluster/node.h"
#include "runtime/host_proto.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define QUEUE_MAX (HOST_MAX_FRAME + (1u << 20))
#define STOCK_MAX 16 /* of a function: a lease has as many slots */

struct channels {
	struct list link; /* stock's, while nobody has them */
	struct frame_conn *conn;
	struct logring *log;
	int control, output; /* the instance's ends */
	bool soiled; /* something came while nobody had them */
};

/* whoever it is that still has them */
static void on_stray_frame(
	void *user, const unsigned char *data, size_t len, int *fds, unsigned nfds)
{
	struct channels *channels = user;
	(void)data, (void)len, (void)fds, (void)nfds;
	channels->soiled = true;
}

static void on_stray_end(void *user, const struct ramet_err *err)
{
	struct channels *channels = user;
	(void)err;
	channels->soiled = true;
}

static const struct frame_handler nobodys_frames = {
	.on_frame = on_stray_frame, .on_closed = on_stray_end};

static void channels_close(struct channels *channels)
{
	frame_conn_close(channels->conn);
	logring_close(channels->log);
	close_reset(&channels->control);
	close_reset(&channels->output);
	free(channels);
}

/* the instance's ends are closed, or given to its channels, by the caller */
static int make(struct instance *inst, int *ret_control, int *ret_output, struct ramet_err *err)
{
	struct node *node = inst->owner->node;
	int sockets[2];
	int pipes[2];
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) < 0)
		return err_errno(err, RAMET_EIO, "control socket of an instance");
	auto_close int control = sockets[1];
	int rc = frame_conn_create(node->loop, sockets[0], HOST_MAX_FRAME, QUEUE_MAX,
		&instance_frames, inst, &inst->conn, err);
	if (rc < 0) {
		close(sockets[0]);
		return rc;
	}
	if (pipe2(pipes, O_CLOEXEC) < 0)
		return err_errno(err, RAMET_EIO, "log pipe of an instance");
	auto_close int output = pipes[1];
	rc = logring_open(node->logs, pipes[0], &inst->tag, &inst->log, err);
	if (rc < 0)
		return rc;
	*ret_control = steal_fd(&control);
	*ret_output = steal_fd(&output);
	return 0;
}

static int make_kept(struct instance *inst, struct ramet_err *err)
{
	auto_free struct channels *channels = calloc(1, sizeof(*channels));
	if (!channels)
		return err_nomem(err);
	int rc = make(inst, &channels->control, &channels->output, err);
	if (rc < 0)
		return rc;
	channels->conn = inst->conn;
	channels->log = inst->log;
	inst->channels = steal_ptr(&channels);
	return 0;
}

/* descriptors are shared with whoever had them before: their flags, too */
static bool as_made(int fd, int access)
{
	return fcntl(fd, F_GETFL) == access;
}

/* of our end: all that we said was read, there is nothing to read, and neither direction was shut
 */
static bool untouched(int socket)
{
	char byte;
	int unread = -1;
	return ioctl(socket, SIOCOUTQ, &unread) == 0 && unread == 0 &&
		send(socket, "", 0, MSG_DONTWAIT | MSG_NOSIGNAL) == 0 &&
		recv(socket, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

static bool as_new(const struct channels *channels)
{
	return !channels->soiled && frame_conn_idle(channels->conn) &&
		untouched(frame_fd(channels->conn)) && logring_silent(channels->log) &&
		as_made(channels->control, O_RDWR) && as_made(channels->output, O_WRONLY);
}

/* false: there are none that are as new */
static bool take_kept(struct instance *inst, struct instance_stock *stock)
{
	list_for_each_safe (channels, &stock->free, struct channels, link) {
		list_remove(&channels->link);
		stock->count--;
		if (!as_new(channels)) {
			channels_close(channels);
			continue;
		}
		frame_conn_give(channels->conn, &instance_frames, inst);
		logring_tag(channels->log, &inst->tag);
		inst->conn = channels->conn;
		inst->log = channels->log;
		inst->channels = channels;
		return true;
	}
	return false;
}

int instance_open_channels(struct instance *inst, struct instance_stock *stock,
	struct instance_ends *ret_ends, struct ramet_err *err)
{
	if (!stock)
		return make(inst, &ret_ends->control, &ret_ends->output, err);
	int rc = take_kept(inst, stock) ? 0 : make_kept(inst, err);
	if (rc < 0)
		return rc;
	inst->stock = stock;
	ret_ends->control = inst->channels->control;
	ret_ends->output = inst->channels->output;
	ret_ends->kept = true;
	return 0;
}

void instance_ends_close(struct instance_ends *ends)
{
	if (ends->kept)
		return;
	close_reset(&ends->control);
	close_reset(&ends->output);
}

/* while it runs: with our own copy of its end there is no end of the stream to hear of */
bool instance_has_control(const struct instance *inst)
{
	char path[64], text[64], want[64];
	struct stat st;
	if (!inst->channels || fstat(inst->channels->control, &st) < 0)
		return true;
	snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)inst->pid, HOST_CONTROL_FD);
	snprintf(want, sizeof(want), "socket:[%llu]", (unsigned long long)st.st_ino);
	ssize_t len = readlink(path, text, sizeof(text) - 1);
	if (len < 0)
		return errno != ENOENT;
	text[len] = '\0';
	return strcmp(text, want) == 0;
}

/* It ended as it should, and left neither a process that could have them nor a word. */
static bool may_leave(const struct instance *inst)
{
	return inst->conn && inst->reaped && inst->alone && inst->exit_status == 0 &&
		inst->exit_signal == 0 && !inst->crashed && logring_silent(inst->log);
}

void instance_close_channels(struct instance *inst)
{
	struct channels *channels = steal_ptr(&inst->channels);
	struct instance_stock *stock = inst->stock;
	const struct log_tag nobody = {0};
	if (!channels) {
		frame_conn_close(steal_ptr(&inst->conn));
		logring_close(steal_ptr(&inst->log));
		return;
	}
	if (!stock || stock->count == STOCK_MAX || !may_leave(inst)) {
		channels->conn = steal_ptr(&inst->conn);
		inst->log = NULL;
		channels_close(channels);
		return;
	}
	frame_conn_give(channels->conn, &nobodys_frames, channels);
	logring_tag(channels->log, &nobody);
	inst->conn = NULL;
	inst->log = NULL;
	list_append(&stock->free, &channels->link);
	stock->count++;
}

void instance_stock_init(struct instance_stock *stock)
{
	list_init(&stock->free);
	stock->count = 0;
}

void instance_stock_clear(struct instance_stock *stock)
{
	list_for_each_safe (channels, &stock->free, struct channels, link) {
		list_remove(&channels->link);
		channels_close(channels);
	}
	stock->count = 0;
}
