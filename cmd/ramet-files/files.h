/* The state of ramet-files, shared by its three files. */
#ifndef CMD_RAMET_FILES_FILES_H
#define CMD_RAMET_FILES_FILES_H

#include "base/frame.h"
#include "base/list.h"
#include "base/loop.h"
#include "runtime/files/manifest.h"

#include <fuse_lowlevel.h>
#include <stdint.h>
#include <sys/types.h>

/* a file that is open, or that somebody waits for */
struct content {
	int fd; /* -1: it has not come */
	unsigned opens;
	struct list waiting; /* struct waiter */
	struct loop_timer timer; /* until rametd must have answered */
};

struct waiter {
	struct list link;
	fuse_req_t req;
	struct fuse_file_info info;
};

struct files {
	struct loop *loop;
	struct frame_conn *control;
	struct fuse_session *session;
	struct loop_watch device;
	struct fuse_buf buf;
	struct manifest manifest;
	struct content **contents; /* by entry; NULL: neither open nor waited for */
	uid_t uid; /* the tenant's: of files that are its own */
	gid_t gid;
	bool root; /* others belong to root; else to the tenant too: nobody else exists here */
	int status;
};

/* show.c: what needs only the manifest */
extern const struct fuse_lowlevel_ops files_ops;
/* serve.c: content */
void files_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *info);
void files_read(
	fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *info);
void files_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *info);
void files_on_frame(void *user, const unsigned char *data, size_t len, int *fds, unsigned nfds);
/* the entry of an inode number: they are one higher, as 1 is the root's */
static inline uint32_t files_entry(fuse_ino_t ino)
{
	return (uint32_t)ino - 1;
}

#endif
