/* The content of files: descriptors that rametd hands over, asked for at the first open. An open
 * waits until its file has come; every other request goes on meanwhile. */
#include "cmd/ramet-files/files.h"

#include "base/clock.h"
#include "base/log.h"
#include "runtime/files/files_proto.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void content_free(struct files *files, uint32_t entry)
{
	struct content *content = files->contents[entry];
	loop_timer_cancel(&content->timer);
	close_reset(&content->fd);
	files->contents[entry] = NULL;
	free(content);
}

/* all who wait get the file, or the error */
static void answer_all(struct content *content, int error)
{
	while (!list_empty(&content->waiting)) {
		struct waiter *waiter = list_first(&content->waiting, struct waiter, link);
		list_remove(&waiter->link);
		if (error) {
			fuse_reply_err(waiter->req, error);
		} else {
			waiter->info.keep_cache = 1; /* it does not change */
			content->opens++;
			/* who has given up meanwhile will not release it */
			if (fuse_reply_open(waiter->req, &waiter->info) == -ENOENT)
				content->opens--;
		}
		free(waiter);
	}
}

static void settle(struct files *files, uint32_t entry, int fd, int error)
{
	struct content *content = files->contents[entry];
	loop_timer_cancel(&content->timer);
	close_reset(&content->fd);
	content->fd = fd;
	answer_all(content, error);
	if (content->opens == 0)
		content_free(files, entry);
}

static int ask(struct files *files, uint32_t entry)
{
	CLEANUP(buf_fini) struct buf b = {0};
	wire_map(&b, 2);
	wire_kstr(&b, "t", "open");
	wire_kuint(&b, "entry", entry);
	return wire_end(&b, NULL) < 0 ? -1 : frame_send(files->control, b.data, b.len, NULL, 0);
}

struct deadline {
	struct content content; /* first */
	struct files *files;
	uint32_t entry;
};

static void on_late(struct loop_timer *timer)
{
	struct content *content = container_of(timer, struct content, timer);
	struct deadline *deadline = container_of(content, struct deadline, content);
	log_error("file.late", "entry=%u", deadline->entry);
	settle(deadline->files, deadline->entry, -1, EIO);
}

static struct content *content_new(struct files *files, uint32_t entry)
{
	struct deadline *deadline = calloc(1, sizeof(*deadline));
	if (!deadline)
		return NULL;
	struct content *content = &deadline->content;
	deadline->files = files;
	deadline->entry = entry;
	content->fd = -1;
	list_init(&content->waiting);
	if (ask(files, entry) < 0 ||
		loop_timer_set(files->loop, &content->timer,
			now_ns() + FILES_OPEN_MS * NSEC_PER_MSEC, on_late) < 0) {
		free(deadline);
		return NULL;
	}
	files->contents[entry] = content;
	return content;
}

void files_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *info)
{
	struct files *files = fuse_req_userdata(req);
	uint32_t entry = files_entry(ino);
	if (files->manifest.entries[entry].type != MANIFEST_FILE) {
		fuse_reply_err(req, EINVAL);
		return;
	}
	struct content *content = files->contents[entry];
	struct waiter *waiter = calloc(1, sizeof(*waiter));
	if (waiter && !content)
		content = content_new(files, entry);
	if (!waiter || !content) {
		free(waiter);
		fuse_reply_err(req, EIO);
		return;
	}
	waiter->req = req;
	waiter->info = *info;
	list_append(&content->waiting, &waiter->link);
	if (content->fd >= 0)
		answer_all(content, 0);
}

void files_read(
	fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *info)
{
	const struct files *files = fuse_req_userdata(req);
	const struct content *content = files->contents[files_entry(ino)];
	(void)info;
	if (!content || content->fd < 0) {
		fuse_reply_err(req, EIO);
		return;
	}
	struct fuse_bufvec buf = FUSE_BUFVEC_INIT(size);
	buf.buf[0].flags = FUSE_BUF_IS_FD | FUSE_BUF_FD_SEEK;
	buf.buf[0].fd = content->fd;
	buf.buf[0].pos = offset;
	fuse_reply_data(req, &buf, FUSE_BUF_SPLICE_MOVE);
}

void files_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *info)
{
	struct files *files = fuse_req_userdata(req);
	uint32_t entry = files_entry(ino);
	struct content *content = files->contents[entry];
	(void)info;
	if (content && content->opens > 0 && --content->opens == 0 && list_empty(&content->waiting))
		content_free(files, entry);
	fuse_reply_err(req, 0);
}

static int take(struct files *files, const struct wire_value *body, int *fds, unsigned nfds,
	struct ramet_err *err)
{
	char type[16];
	uint64_t entry = 0, error = 0;
	int rc = wire_get_str(body, "t", type, sizeof(type), err);
	bool failed = rc == 0 && strcmp(type, "failed") == 0;
	if (rc == 0)
		rc = wire_get_uint(
			body, "entry", files->manifest.header->nentries - 1, &entry, err);
	if (rc == 0 && failed)
		rc = wire_get_uint(body, "error", 4095, &error, err);
	if (rc < 0)
		return rc;
	const struct content *content = files->contents[entry];
	if (!content || content->fd >= 0)
		return 0; /* it came too late */
	if (!failed && nfds != 1)
		return err_set(err, RAMET_EPROTO, "file with %u descriptors", nfds);
	settle(files, (uint32_t)entry, failed ? -1 : steal_fd(&fds[0]),
		failed ? (int)MAX(error, 1u) : 0);
	return 0;
}

void files_on_frame(void *user, const unsigned char *data, size_t len, int *fds, unsigned nfds)
{
	struct files *files = user;
	struct ramet_err err = {0};
	struct wire_msg *msg = NULL;
	int rc = wire_parse(data, len, WIRE_LIMITS_CONTROL, &msg, &err);
	if (rc == 0)
		rc = take(files, wire_root(msg), fds, nfds, &err);
	wire_free(msg);
	if (rc < 0) {
		log_err(LOG_ERROR, "files.control", &err);
		files->status = EXIT_FAILURE;
		loop_stop(files->loop);
	}
}
