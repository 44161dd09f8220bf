/* Reading the files of a deployment: walking directories, within limits. */
#include "libramet/files.h"

#include "cluster/client_proto.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define MAX_DEPTH 16

static void file_fini(struct file *file)
{
	free(file->path);
	free(file->data);
}

void files_fini(struct files *files)
{
	for (size_t i = 0; i < files->count; i++)
		file_fini(&files->v[i]);
	free(files->v);
	*files = (struct files){0};
}

static int check_path(const char *path, struct ramet_err *err)
{
	if (strlen(path) > CLIENT_PATH_MAX)
		return err_set(err, RAMET_ELIMIT, "path is longer than %d bytes: %s",
			CLIENT_PATH_MAX, path);
	for (const char *part = path;;) {
		size_t len = strcspn(part, "/");
		if (len == 0 || (len == 1 && part[0] == '.') ||
			(len == 2 && part[0] == '.' && part[1] == '.'))
			return err_set(err, RAMET_EINVAL,
				"\"%s\" is not a path below the deployed directory", path);
		if (!part[len])
			return 0;
		part += len + 1;
	}
}

/* reads exactly size bytes: a file that changes meanwhile is an error, not a surprise */
static int read_whole(
	int fd, const char *path, size_t size, unsigned char **ret_data, struct ramet_err *err)
{
	auto_free unsigned char *data = malloc(size + 1);
	if (!data)
		return err_nomem(err);
	size_t len = 0;
	while (len <= size) {
		ssize_t n = read(fd, data + len, size + 1 - len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_errno(err, RAMET_EIO, "read %s", path);
		if (n == 0)
			break;
		len += (size_t)n;
	}
	if (len != size)
		return err_set(err, RAMET_EIO, "%s changed while it was read", path);
	*ret_data = steal_ptr(&data);
	return 0;
}

static int grow(struct files *files, struct ramet_err *err)
{
	if (files->count >= CLIENT_MAX_FILES)
		return err_set(err, RAMET_ELIMIT,
			"more than %d files: name those that are needed under `files`",
			CLIENT_MAX_FILES);
	if (files->count < files->cap)
		return 0;
	size_t cap = files->cap ? files->cap * 2 : 16;
	struct file *v = reallocarray(files->v, cap, sizeof(*v));
	if (!v)
		return err_nomem(err);
	files->v = v;
	files->cap = cap;
	return 0;
}

static int add_file(
	struct files *files, int fd, const struct stat *st, const char *path, struct ramet_err *err)
{
	if (st->st_size < 0 || (uint64_t)st->st_size > CLIENT_MAX_BUNDLE - files->bytes)
		return err_set(err, RAMET_ELIMIT,
			"with %s (%lld bytes) the files are more than %u bytes: name those that "
			"are needed under `files`",
			path, (long long)st->st_size, CLIENT_MAX_BUNDLE);
	int rc = grow(files, err);
	if (rc < 0)
		return rc;
	struct file file = {.len = (size_t)st->st_size,
		.mode = st->st_mode & 0111 ? 0755 : 0644,
		.path = strdup(path)};
	rc = file.path ? read_whole(fd, path, file.len, &file.data, err) : err_nomem(err);
	if (rc < 0) {
		file_fini(&file);
		return rc;
	}
	files->v[files->count++] = file;
	files->bytes += file.len;
	return 0;
}

static int add_at(struct files *files, int dirfd, const char *name, const char *path,
	unsigned depth, struct ramet_err *err);

static bool left_out(const char *name, bool top)
{
	return name[0] == '.' || strcmp(name, "__pycache__") == 0 ||
		(top && strcmp(name, "ramet.yaml") == 0);
}

/* takes fd, a directory */
static int add_dir(
	struct files *files, int dirfd, const char *path, unsigned depth, struct ramet_err *err)
{
	auto_closedir DIR *dir = fdopendir(dirfd);
	if (!dir) {
		close_keep_errno(dirfd);
		return err_errno(err, RAMET_EIO, "read directory %s", path);
	}
	if (depth >= MAX_DEPTH)
		return err_set(
			err, RAMET_ELIMIT, "directories nest deeper than %d: %s", MAX_DEPTH, path);
	for (const struct dirent *e = readdir(dir); e; e = readdir(dir)) {
		if (left_out(e->d_name, depth == 0))
			continue;
		char below[CLIENT_PATH_MAX + NAME_MAX + 2];
		snprintf(below, sizeof(below), "%s%s%s", path, *path ? "/" : "", e->d_name);
		int rc = add_at(files, dirfd, e->d_name, below, depth + 1, err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int add_at(struct files *files, int dirfd, const char *name, const char *path,
	unsigned depth, struct ramet_err *err)
{
	int rc = check_path(path, err);
	if (rc < 0)
		return rc;
	/* O_NONBLOCK: a FIFO must not hang us before it is refused */
	auto_close int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return err_errno(
			err, errno == ENOENT ? RAMET_ENOTFOUND : RAMET_EIO, "open %s", path);
	struct stat st;
	if (fstat(fd, &st) < 0)
		return err_errno(err, RAMET_EIO, "stat %s", path);
	if (S_ISDIR(st.st_mode))
		return add_dir(files, steal_fd(&fd), path, depth, err);
	if (!S_ISREG(st.st_mode))
		return err_set(err, RAMET_EINVAL, "%s is neither a file nor a directory", path);
	return add_file(files, fd, &st, path, err);
}

static int open_dir(const char *dir, struct ramet_err *err)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_errno(
			err, errno == ENOENT ? RAMET_ENOTFOUND : RAMET_EIO, "open %s", dir);
	return fd;
}

int files_add(struct files *files, const char *dir, const char *path, struct ramet_err *err)
{
	char clean[CLIENT_PATH_MAX + 2];
	size_t len = strlen(path);
	while (len > 1 && path[len - 1] == '/')
		len--;
	snprintf(clean, sizeof(clean), "%.*s", (int)MIN(len, sizeof(clean) - 1), path);
	auto_close int dirfd = open_dir(dir, err);
	if (dirfd < 0)
		return dirfd;
	return add_at(files, dirfd, clean, clean, 1, err);
}

int files_add_all(struct files *files, const char *dir, struct ramet_err *err)
{
	int dirfd = open_dir(dir, err);
	return dirfd < 0 ? dirfd : add_dir(files, dirfd, "", 0, err);
}

static int by_path(const void *a, const void *b)
{
	return strcmp(((const struct file *)a)->path, ((const struct file *)b)->path);
}

void files_sort(struct files *files)
{
	if (files->count == 0)
		return;
	qsort(files->v, files->count, sizeof(*files->v), by_path);
	size_t kept = 1;
	for (size_t i = 1; i < files->count; i++) {
		if (strcmp(files->v[i].path, files->v[kept - 1].path) == 0) {
			files->bytes -= files->v[i].len;
			file_fini(&files->v[i]);
		} else {
			files->v[kept++] = files->v[i];
		}
	}
	files->count = kept;
}

const struct file *files_find(const struct files *files, const char *path)
{
	for (size_t i = 0; i < files->count; i++)
		if (strcmp(files->v[i].path, path) == 0)
			return &files->v[i];
	return NULL;
}

void files_pack(const struct files *files, struct buf *b)
{
	wire_array(b, (uint32_t)files->count);
	for (size_t i = 0; i < files->count; i++) {
		wire_map(b, 3);
		wire_kstr(b, "path", files->v[i].path);
		wire_kuint(b, "mode", files->v[i].mode);
		wire_kbin(b, "data", files->v[i].data, files->v[i].len);
	}
}
