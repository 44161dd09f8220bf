/* Opening an app's data: see spawn_data.h. What is opened is what is shown later, whatever becomes
 * of the path meanwhile. */
#include "runtime/spawn/spawn_data.h"

#include "runtime/spawn/sandbox_proto.h"
#include "runtime/spawn/spawn_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

void spawn_data_fini(struct spawn_data *data)
{
	for (uint32_t i = 0; data->v && i < data->count; i++)
		close_reset(&data->v[i].fd);
	free(data->v);
	free(data->paths);
	*data = (struct spawn_data){0};
}

/* --- as the tenant --- */

/* our own groups, while we look as a tenant */
struct rights {
	gid_t *groups;
	int count;
};

static int become(const struct membership *of, struct rights *own)
{
	own->count = getgroups(0, NULL);
	own->groups = own->count < 0 ? NULL : calloc((size_t)own->count + 1, sizeof(gid_t));
	if (!own->groups || getgroups(own->count, own->groups) < 0 ||
		syscall(SYS_setgroups, 0, NULL) < 0)
		return -1;
	setfsgid(of->gid);
	setfsuid(of->uid); /* capabilities over files go with uid 0 */
	return 0;
}

static void come_back(struct rights *own)
{
	setfsuid(geteuid());
	setfsgid(getegid());
	if (own->groups)
		(void)syscall(SYS_setgroups, (size_t)own->count, own->groups);
	free(own->groups);
}

/* A path that can be read, as a descriptor that says where it is. -1: errno; EINVAL for what is
 * neither a file nor a directory, which is not opened. */
static int open_path(const char *path)
{
	char link[32];
	struct stat st;
	auto_close int fd = open(path, O_PATH | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return -1;
	if (!S_ISDIR(st.st_mode) && !S_ISREG(st.st_mode)) {
		errno = EINVAL;
		return -1;
	}
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	auto_close int readable = open(link, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	return readable < 0 ? -1 : steal_fd(&fd);
}

static int open_as(const struct spawn_server *server, const struct membership *of, const char *path)
{
	struct rights own = {0};
	int fd = -1;
	if (!server->root)
		return open_path(path);
	if (become(of, &own) == 0)
		fd = open_path(path);
	int error = errno;
	come_back(&own);
	errno = error;
	return fd;
}

/* --- what is not shown --- */

static bool below(const char *path, const char *dir)
{
	size_t len = strlen(dir);
	return strncmp(path, dir, len) == 0 && (!path[len] || path[len] == '/');
}

/* in it, or around it */
static bool touches(const char *path, const char *dir)
{
	char real[PATH_MAX];
	return dir && realpath(dir, real) && (below(path, real) || below(real, path));
}

static int check_place(const struct spawn_server *server, const char *path, const char *real,
	struct ramet_err *err)
{
	static const char *const own[] = {"/proc", "/sys", "/dev", "/tmp", "/ramet"};
	for (size_t i = 0; i < ARRAY_LEN(own); i++)
		if (below(real, own[i]))
			return err_set(err, RAMET_EREFUSED,
				"data: %.150s cannot be shown: instances have a %s of their own",
				path, own[i]);
	if (touches(real, server->config.hide_dir) || touches(real, server->config.store_dir))
		return err_set(err, RAMET_EREFUSED,
			"data: %.150s cannot be shown: this node keeps its own files there", path);
	if (below(real, "/run") && strcmp(path, real) != 0)
		return err_set(err, RAMET_EREFUSED,
			"data: %.150s is a link to %.150s: give that path instead", path, real);
	return 0;
}

/* --- one path --- */

static int open_one(const struct spawn_server *server, const struct membership *of,
	struct sandbox_data *data, struct ramet_err *err)
{
	char link[32], real[PATH_MAX];
	auto_close int fd = open_as(server, of, data->path);
	if (fd < 0 && errno == EINVAL)
		return err_set(err, RAMET_EREFUSED,
			"data: %.200s is neither a file nor a directory", data->path);
	if (fd < 0)
		return err_errno(err, RAMET_EREFUSED, "data: %s", data->path);
	if (!server->pool)
		return 0;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	ssize_t n = readlink(link, real, sizeof(real) - 1);
	if (n < 0)
		return err_errno(err, RAMET_EIO, "data: %s", data->path);
	real[n] = '\0';
	int rc = check_place(server, data->path, real, err);
	/* one behind a link is seen where it is, with the rest of the machine */
	if (rc == 0 && strcmp(real, data->path) == 0)
		data->fd = steal_fd(&fd);
	return rc;
}

int spawn_data_open(const struct spawn_server *server, const struct wire_value *body,
	const struct membership *of, struct spawn_data *ret_data, struct ramet_err *err)
{
	CLEANUP(spawn_data_fini) struct spawn_data data = {0};
	int rc = spawn_get_strings(body, "data", &data.paths, &data.count, err);
	if (rc < 0)
		return rc;
	if (data.count > SANDBOX_DATA_MAX)
		return err_set(err, RAMET_ELIMIT, "data: %u paths", data.count);
	data.v = calloc(data.count + 1, sizeof(*data.v));
	if (!data.v)
		return err_nomem(err);
	for (uint32_t i = 0; i < data.count; i++)
		data.v[i] = (struct sandbox_data){data.paths[i], -1};
	for (uint32_t i = 0; rc == 0 && i < data.count; i++)
		rc = open_one(server, of, &data.v[i], err);
	if (rc < 0)
		return rc;
	*ret_data = data;
	memset(&data, 0, sizeof(data));
	return 0;
}
