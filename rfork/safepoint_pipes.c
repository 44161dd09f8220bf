/* Pipes within the process: their ends, their size, and what is in them. */
#include "rfork/safepoint_fds.h"

#include "rfork/safepoint_fault.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

struct pipe {
	bool ends[2]; /* of the host: read, write */
	int size; /* F_GETPIPE_SZ */
	int used; /* bytes in it */
	void *bytes;
	/* in a clone */
	int fds[2];
	bool made, given[2];
};

static int end_of(const struct account_fd *f)
{
	return (f->flags & O_ACCMODE) == O_RDONLY ? 0 : 1;
}

/* the first record of an end, or NULL */
static struct account_fd *find_end(const struct fds *fds, const struct account_fd *f, int end)
{
	for (uint32_t i = 0; i < fds->count; i++) {
		struct account_fd *g = &fds->items[i];
		if (S_ISFIFO(g->mode) && g->dev == f->dev && g->ino == f->ino && end_of(g) == end)
			return g;
	}
	return NULL;
}

/* for all of its descriptors */
static void refuse_pipe(const struct fds *fds, const struct account_fd *f, const char *why)
{
	const uint64_t dev = f->dev, ino = f->ino;
	for (uint32_t i = 0; i < fds->count; i++)
		if (S_ISFIFO(fds->items[i].mode) && fds->items[i].dev == dev &&
			fds->items[i].ino == ino)
			fds_refuse(&fds->items[i], "%s", why);
}

/* nobody has the other end, here or elsewhere */
static bool is_broken(int fd, short event)
{
	struct pollfd pfd = {.fd = fd};
	return poll(&pfd, 1, 0) == 1 && pfd.revents & event;
}

/* a copy of what is in it: tee(2) takes nothing out */
static bool copy_bytes(int from, struct pipe *pipe)
{
	int copy[2];
	if (pipe2(copy, O_CLOEXEC | O_NONBLOCK) < 0)
		return false;
	(void)fcntl(copy[1], F_SETPIPE_SZ, pipe->size);
	bool whole = tee(from, copy[1], INT_MAX, SPLICE_F_NONBLOCK) == pipe->used;
	for (int done = 0; whole && done < pipe->used;) {
		ssize_t n = read(copy[0], (char *)pipe->bytes + done, (size_t)(pipe->used - done));
		whole = n > 0;
		done += (int)n;
	}
	close(copy[0]);
	close(copy[1]);
	return whole;
}

static int pipe_save(struct fds *fds, struct account_fd *f, struct ramet_err *err)
{
	struct account_fd *ends[2] = {find_end(fds, f, 0), find_end(fds, f, 1)};
	for (uint32_t i = 0; i < fds->count; i++)
		if (fds->items[i].kind == ACCOUNT_PIPE && fds->items[i].ino == f->ino &&
			fds->items[i].object) {
			f->object = fds->items[i].object;
			return 0;
		}
	if ((f->flags & O_ACCMODE) == O_RDWR || f->flags & O_DIRECT) {
		refuse_pipe(fds, f, "a pipe in a mode of its own (packets, or both ends in one)");
		return 0;
	}
	if ((!ends[1] && !is_broken(f->fd, POLLHUP)) || (!ends[0] && !is_broken(f->fd, POLLERR))) {
		refuse_pipe(fds, f, "a pipe whose other end is in another process");
		return 0;
	}
	struct pipe *pipe = account_alloc(sizeof(*pipe));
	if (!pipe)
		return fds_no_memory(err);
	*pipe = (struct pipe){
		.ends = {ends[0] != NULL, ends[1] != NULL}, .size = fcntl(f->fd, F_GETPIPE_SZ)};
	f->object = pipe;
	if (!ends[0] || ioctl(ends[0]->fd, FIONREAD, &pipe->used) < 0 || pipe->used == 0)
		return 0;
	pipe->bytes = account_pages((size_t)pipe->used);
	if (!pipe->bytes)
		return fds_no_memory(err);
	if (!copy_bytes(ends[0]->fd, pipe))
		refuse_pipe(fds, f, "a pipe with bytes in it that cannot be copied");
	return 0;
}

static int make(
	const struct fds *fds, const struct account_fd *f, struct pipe *pipe, struct ramet_err *err)
{
	if (pipe2(pipe->fds, O_CLOEXEC | O_NONBLOCK) < 0)
		return fds_fail(f, "make its pipe", err);
	for (int end = 0; end < 2; end++) {
		pipe->fds[end] = fds_raise(fds, pipe->fds[end]);
		if (pipe->fds[end] < 0)
			return fds_fail(f, "make its pipe", err);
	}
	pipe->made = true;
	/* a limit of the user's may forbid it; what counts is whether the bytes fit */
	(void)fcntl(pipe->fds[1], F_SETPIPE_SZ, pipe->size);
	if (pipe->used && !safepoint_fault_hit("safepoint.pipes") &&
		write(pipe->fds[1], pipe->bytes, (size_t)pipe->used) != pipe->used)
		return fds_fail(f, "fill its pipe", err);
	return 0;
}

static int pipe_restore(struct fds *fds, struct account_fd *f, struct ramet_err *err)
{
	struct pipe *pipe = f->object;
	const int end = end_of(f);
	int rc = pipe->made ? 0 : make(fds, f, pipe, err);
	if (rc < 0)
		return rc;
	char path[48];
	snprintf(path, sizeof(path), "/proc/self/fd/%d", pipe->fds[end]);
	int fd = pipe->given[end] ? fds_raise(fds, open(path, end | O_NONBLOCK | O_CLOEXEC))
				  : fcntl(pipe->fds[end], F_DUPFD_CLOEXEC, fds->base);
	pipe->given[end] = true;
	return fd < 0 ? fds_fail(f, "open its pipe", err) : fd;
}

/* ours are closed: an end that the host had closed is closed in the clone from now on */
static int pipe_finish(struct fds *fds, struct account_fd *f, struct ramet_err *err)
{
	struct pipe *pipe = f->object;
	(void)fds, (void)err;
	if (!pipe->made)
		return 0;
	close(pipe->fds[0]);
	close(pipe->fds[1]);
	pipe->made = false;
	return 0;
}

const struct fd_kind fd_kind_pipe = {pipe_save, pipe_restore, pipe_finish};
