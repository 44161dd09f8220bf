/* ramet-files: shows the files of one seed's manifest as a read-only file system, to sandboxes of
 * nodes that lack them. ramet-spawn starts it and mounts the file system
 * (runtime/files/files_proto.h); it has no right but to its descriptors. */
#include "cmd/ramet-files/files.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "base/parse.h"
#include "runtime/files/files_proto.h"
#include "runtime/spawn/privileges.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#define EXIT_USAGE 2

static void on_closed(void *user, const struct ramet_err *err)
{
	struct files *files = user;
	if (err->code != RAMET_EPEER)
		log_err(LOG_ERROR, "files.control", err);
	loop_stop(files->loop);
}

static const struct frame_handler handler = {files_on_frame, on_closed};

static void on_device(struct loop_watch *watch, uint32_t events)
{
	struct files *files = container_of(watch, struct files, device);
	(void)events;
	int n = fuse_session_receive_buf(files->session, &files->buf);
	if (n > 0)
		fuse_session_process_buf(files->session, &files->buf);
	else if (n != -EINTR && n != -EAGAIN)
		loop_stop(files->loop); /* unmounted: nobody can look any more */
}

static int read_manifest(struct files *files, struct ramet_err *err)
{
	struct stat st;
	if (fstat(FILES_MANIFEST_FD, &st) < 0)
		return err_errno(err, RAMET_EIO, "fstat the manifest");
	if (st.st_size <= 0 || st.st_size > (off_t)MANIFEST_MAX_BYTES)
		return err_set(
			err, RAMET_EPROTO, "a manifest of %lld bytes", (long long)st.st_size);
	void *bytes = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, FILES_MANIFEST_FD, 0);
	if (bytes == MAP_FAILED)
		return err_errno(err, RAMET_EIO, "map the manifest");
	int rc = manifest_open(bytes, (size_t)st.st_size, &files->manifest, err);
	if (rc < 0)
		return rc;
	files->contents = calloc(files->manifest.header->nentries, sizeof(struct content *));
	return files->contents ? 0 : err_nomem(err);
}

static int start_session(struct files *files, struct ramet_err *err)
{
	char *argv[] = {"ramet-files", NULL};
	char point[32];
	struct fuse_args args = FUSE_ARGS_INIT(1, argv);
	files->session = fuse_session_new(&args, &files_ops, sizeof(files_ops), files);
	snprintf(point, sizeof(point), "/dev/fd/%d", FILES_DEVICE_FD); /* mounted already */
	if (!files->session || fuse_session_mount(files->session, point) != 0)
		return err_set(err, RAMET_EIO, "the file system cannot be served");
	int fd = fuse_session_fd(files->session);
	int flags = fcntl(fd, F_GETFL);
	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return err_errno(err, RAMET_EIO, "make the FUSE device non-blocking");
	return loop_watch_add(files->loop, &files->device, fd, EPOLLIN, on_device, err);
}

static int start(struct files *files, struct ramet_err *err)
{
	int rc = loop_create(&files->loop, err);
	if (rc == 0)
		rc = read_manifest(files, err);
	if (rc == 0)
		rc = frame_conn_create(files->loop, FILES_CONTROL_FD, FILES_MAX_FRAME,
			FILES_MAX_QUEUE, &handler, files, &files->control, err);
	if (rc == 0)
		rc = start_session(files, err);
	if (rc == 0 && privileges_drop(files->uid, files->gid, files->root) < 0)
		rc = err_errno(err, RAMET_EPERM, "give up privileges");
	/* its tenant's other processes are not to look inside */
	if (rc == 0 && (prctl(PR_SET_DUMPABLE, 0) < 0 || prctl(PR_SET_PDEATHSIG, SIGKILL) < 0))
		rc = err_errno(err, RAMET_EIO, "prctl");
	return rc;
}

static void finish(struct files *files)
{
	loop_watch_remove(&files->device);
	if (files->session)
		fuse_session_destroy(files->session);
	frame_conn_close(files->control);
	loop_destroy(files->loop);
	free(files->buf.mem);
	free(files->contents);
}

static int parse_id(const char *text, unsigned *ret)
{
	uint64_t value;
	if (parse_u64(text, UINT32_MAX - 1, &value) < 0)
		return -1;
	*ret = (unsigned)value;
	return 0;
}

int main(int argc, char **argv)
{
	struct files files = {.root = geteuid() == 0};
	struct ramet_err err = {0};
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	log_init("ramet-files", LOG_WARN, STDERR_FILENO);
	if (argc != 3 || parse_id(argv[1], &files.uid) < 0 || parse_id(argv[2], &files.gid) < 0) {
		fprintf(stderr, "usage: ramet-files UID GID   (started by ramet-spawn)\n");
		return EXIT_USAGE;
	}
	signal(SIGPIPE, SIG_IGN);
	int rc = start(&files, &err);
	if (rc == 0)
		rc = loop_run(files.loop, &err);
	if (rc < 0)
		log_err(LOG_ERROR, "files.failed", &err);
	finish(&files);
	return rc < 0 ? EXIT_FAILURE : files.status;
}
