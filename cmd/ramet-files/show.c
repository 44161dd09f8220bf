/* Names and attributes, all from the manifest, which does not change: the kernel may keep every
 * answer for ever. */
#include "cmd/ramet-files/files.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define FOR_EVER 1e9 /* seconds */

static struct files *files_of(fuse_req_t req)
{
	return fuse_req_userdata(req);
}

static const struct manifest_entry *entry_of(const struct files *files, fuse_ino_t ino)
{
	return &files->manifest.entries[files_entry(ino)];
}

static void fill_stat(const struct files *files, uint32_t i, struct stat *st)
{
	static const mode_t types[] = {
		[MANIFEST_DIR] = S_IFDIR, [MANIFEST_FILE] = S_IFREG, [MANIFEST_LINK] = S_IFLNK};
	const struct manifest_entry *e = &files->manifest.entries[i];
	*st = (struct stat){
		.st_ino = i + 1,
		.st_mode = types[e->type] | e->mode,
		.st_nlink = e->type == MANIFEST_DIR ? 2 : 1,
		.st_uid = e->flags & MANIFEST_OWNED || !files->root ? files->uid : 0,
		.st_gid = e->flags & MANIFEST_GROUP || !files->root ? files->gid : 0,
		.st_size = (off_t)e->size,
		.st_blocks = (blkcnt_t)((e->size + 511) / 512),
		.st_blksize = 4096,
	};
	int64_t sec = e->mtime_ns / 1000000000, nsec = e->mtime_ns % 1000000000;
	if (nsec < 0) {
		sec--;
		nsec += 1000000000;
	}
	st->st_mtim = st->st_ctim = st->st_atim = (struct timespec){sec, nsec};
}

static void show_init(void *user, struct fuse_conn_info *conn)
{
	(void)user;
	conn->want |= conn->capable &
		(FUSE_CAP_CACHE_SYMLINKS | FUSE_CAP_NO_OPENDIR_SUPPORT | FUSE_CAP_ASYNC_READ |
			FUSE_CAP_PARALLEL_DIROPS);
	conn->want &= ~(unsigned)(FUSE_CAP_AUTO_INVAL_DATA | FUSE_CAP_READDIRPLUS);
}

static void show_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	const struct files *files = files_of(req);
	struct fuse_entry_param param = {.attr_timeout = FOR_EVER, .entry_timeout = FOR_EVER};
	uint32_t i = manifest_child(&files->manifest, files_entry(parent), name);
	if (i != MANIFEST_NONE) { /* else inode 0: that there is none may be kept, too */
		param.ino = i + 1;
		fill_stat(files, i, &param.attr);
	}
	fuse_reply_entry(req, &param);
}

static void show_forget(fuse_req_t req, fuse_ino_t ino, uint64_t count)
{
	(void)ino, (void)count;
	fuse_reply_none(req);
}

static void show_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *info)
{
	struct stat st;
	(void)info;
	fill_stat(files_of(req), files_entry(ino), &st);
	fuse_reply_attr(req, &st, FOR_EVER);
}

static void show_readlink(fuse_req_t req, fuse_ino_t ino)
{
	const struct files *files = files_of(req);
	const struct manifest_entry *e = entry_of(files, ino);
	if (e->type == MANIFEST_LINK)
		fuse_reply_readlink(req, files->manifest.strings + e->link);
	else
		fuse_reply_err(req, EINVAL);
}

static void show_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *info)
{
	(void)ino, (void)info;
	fuse_reply_err(req, ENOSYS); /* none is needed, and what is read may be kept */
}

/* offsets: 1 and 2 follow "." and "..", then one for each child */
static void show_readdir(
	fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *info)
{
	const struct files *files = files_of(req);
	const struct manifest_entry *dir = entry_of(files, ino);
	char *buf = malloc(size ? size : 1);
	size_t used = 0;
	(void)info;
	if (!buf) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	for (uint64_t at = (uint64_t)offset; at < (uint64_t)dir->count + 2; at++) {
		struct stat st;
		uint32_t i = at == 0 ? files_entry(ino)
			: at == 1    ? dir->parent
				     : dir->first + (uint32_t)(at - 2);
		const char *name = at == 0 ? "."
			: at == 1	   ? ".."
				  : manifest_name(&files->manifest, &files->manifest.entries[i]);
		fill_stat(files, i, &st);
		size_t n =
			fuse_add_direntry(req, buf + used, size - used, name, &st, (off_t)at + 1);
		if (n > size - used)
			break;
		used += n;
	}
	fuse_reply_buf(req, buf, used);
	free(buf);
}

static void show_statfs(fuse_req_t req, fuse_ino_t ino)
{
	const struct files *files = files_of(req);
	struct statvfs st = {
		.f_bsize = 4096,
		.f_frsize = 4096,
		.f_blocks = files->manifest.header->bytes / 4096,
		.f_files = files->manifest.header->nentries,
		.f_namemax = MANIFEST_MAX_NAME,
		.f_flag = ST_RDONLY,
	};
	(void)ino;
	fuse_reply_statfs(req, &st);
}

/* A directory of which all entries are known shows nothing of the machine's own that has its name:
 * the overlay asks by an attribute (runtime/spawn/sandbox_view.c). */
static void show_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
	const struct files *files = files_of(req);
	bool asked = strcmp(name, "trusted.overlay.opaque") == 0 ||
		strcmp(name, "user.overlay.opaque") == 0;
	if (!asked || !(entry_of(files, ino)->flags & MANIFEST_WHOLE) ||
		files->manifest.header->cut)
		fuse_reply_err(req, ENODATA);
	else if (size == 0)
		fuse_reply_xattr(req, 1);
	else
		fuse_reply_buf(req, "y", 1);
}

const struct fuse_lowlevel_ops files_ops = {
	.init = show_init,
	.lookup = show_lookup,
	.forget = show_forget,
	.getattr = show_getattr,
	.readlink = show_readlink,
	.opendir = show_opendir,
	.readdir = show_readdir,
	.statfs = show_statfs,
	.getxattr = show_getxattr,
	.open = files_open,
	.read = files_read,
	.release = files_release,
};
