/* Views: a file system that is attached nowhere but in the mount namespaces of its sandboxes, so
 * that it ends with them. Either ramet-files serves it, or it is a directory of the machine. */
#include "base/fault.h"
#include "runtime/spawn/exec.h"
#include "runtime/spawn/spawn_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FUSE_DEVICE "/dev/fuse"
#define VIEW_SANDBOXES 8 /* kept ready, of each view */

/* <linux/mount.h> of the oldest kernel that has them, which libc's headers may not know */
#define FS_CLOEXEC 1u /* FSOPEN_CLOEXEC, FSMOUNT_CLOEXEC */
#define FS_SET_FLAG 0u
#define FS_SET_STRING 1u
#define FS_CREATE 6u
#define FS_ATTRIBUTES (1u | 2u | 4u) /* MOUNT_ATTR_RDONLY, NOSUID, NODEV */
#define TREE_CLONE 1u /* OPEN_TREE_CLONE */

/* --- the mount --- */

static int set(int fs, unsigned command, const char *key, const char *value)
{
	return (int)syscall(SYS_fsconfig, fs, command, key, value, 0);
}

/* user and group are those whose processes the kernel would let in without allow_other */
static int configure(int fs, int device)
{
	char fd[16], uid[16], gid[16];
	snprintf(fd, sizeof(fd), "%d", device);
	snprintf(uid, sizeof(uid), "%u", geteuid());
	snprintf(gid, sizeof(gid), "%u", getegid());
	if (set(fs, FS_SET_STRING, "source", "ramet") < 0 || set(fs, FS_SET_STRING, "fd", fd) < 0 ||
		set(fs, FS_SET_STRING, "rootmode", "40000") < 0 ||
		set(fs, FS_SET_STRING, "user_id", uid) < 0 ||
		set(fs, FS_SET_STRING, "group_id", gid) < 0 ||
		set(fs, FS_SET_FLAG, "allow_other", NULL) < 0 ||
		set(fs, FS_SET_FLAG, "default_permissions", NULL) < 0)
		return -1;
	return set(fs, FS_CREATE, NULL, NULL);
}

static int fuse_mount(int device)
{
	auto_close int fs = (int)syscall(SYS_fsopen, "fuse", FS_CLOEXEC);
	if (fs < 0 || configure(fs, device) < 0)
		return -1;
	return (int)syscall(SYS_fsmount, fs, FS_CLOEXEC, FS_ATTRIBUTES);
}

static int fuse_open(void)
{
	return fault_hit("view.fuse") ? (errno = ENOENT, -1)
				      : open(FUSE_DEVICE, O_RDWR | O_CLOEXEC);
}

bool spawn_can_fuse(void)
{
	auto_close int device = fuse_open();
	auto_close int mount = device >= 0 ? fuse_mount(device) : -1;
	return mount >= 0;
}

/* --- its life --- */

static void view_destroy(struct spawn_view_record *view)
{
	if (!view)
		return;
	idmap_remove(&view->server->views, &view->node);
	child_kill(&view->files);
	reaper_forget(view->server->reaper, &view->files);
	sandbox_pool_destroy(view->pool);
	spawn_data_fini(&view->data);
	close_reset(&view->mount_fd);
	free(view);
}
DEFINE_CLEANUP(struct spawn_view_record, view_destroy)

/* rametd sees it at the control socket */
static void on_files_exit(struct child *child, int wstatus, const struct rusage *usage)
{
	(void)child, (void)wstatus, (void)usage;
}

static int start_files(struct spawn_view_record *view, const struct membership *of, const int *fds,
	struct ramet_err *err)
{
	struct spawn_server *server = view->server;
	char uid[16], gid[16];
	auto_close int device = fuse_open();
	if (device < 0)
		return err_errno(err, RAMET_EIO, "open " FUSE_DEVICE);
	view->mount_fd = fuse_mount(device);
	if (view->mount_fd < 0)
		return err_errno(err, RAMET_EIO, "mount a file system of " FUSE_DEVICE);
	snprintf(uid, sizeof(uid), "%u", of->uid);
	snprintf(gid, sizeof(gid), "%u", of->gid);
	const char *argv[] = {server->config.files_path, uid, gid, NULL};
	const int given[] = {fds[0], fds[1], device};
	pid_t pid;
	int rc = exec_helper(argv, given, ARRAY_LEN(given), &pid, err);
	if (rc == 0)
		reaper_add(server->reaper, &view->files, pid, on_files_exit);
	return rc;
}

static int take_tree(struct spawn_view_record *view, int dir, struct ramet_err *err)
{
	view->mount_fd = (int)syscall(
		SYS_open_tree, dir, "", TREE_CLONE | O_CLOEXEC | (unsigned)AT_EMPTY_PATH);
	return view->mount_fd < 0 ? err_errno(err, RAMET_EIO, "clone the mount of a view") : 0;
}

static int make_pool(struct spawn_view_record *view, struct ramet_err *err)
{
	struct spawn_server *server = view->server;
	const struct sandbox_options options = {
		.helper = server->config.sandbox_path,
		.store_dir = server->config.store_dir,
		.hide_dir = server->config.hide_dir,
		.target = MIN(server->config.sandboxes, (unsigned)VIEW_SANDBOXES),
		.view_fd = view->mount_fd,
		.data = view->data.v,
		.ndata = view->data.count,
	};
	return sandbox_pool_create(server->loop, server->reaper, &options, &view->pool, err);
}

static int view_create(struct spawn_server *server, const struct wire_value *body, bool files,
	struct spawn_view_record **ret_view, struct ramet_err *err)
{
	uint64_t id;
	int rc = wire_get_uint(body, "view", UINT64_MAX, &id, err);
	if (rc < 0)
		return rc;
	if (id == 0 || idmap_find(&server->views, id))
		return err_set(err, RAMET_EEXIST, "view %llu exists", (unsigned long long)id);
	if (!server->pool && files)
		return err_set(err, RAMET_ENOTSUP, "no sandboxes here: %s", server->missing);
	struct spawn_view_record *view = calloc(1, sizeof(*view));
	if (!view)
		return err_nomem(err);
	view->server = server;
	view->mount_fd = -1;
	idmap_add(&server->views, &view->node, id);
	*ret_view = view;
	return 0;
}

int spawn_handle_view(
	struct spawn_server *server, struct spawn_request *request, struct ramet_err *err)
{
	AUTO(view_destroy) struct spawn_view_record *view = NULL;
	struct membership of = {0};
	if (request->nfds > 2)
		return err_set(err, RAMET_EPROTO, "view: %u descriptors", request->nfds);
	int rc = view_create(server, request->body, request->nfds > 0, &view, err);
	if (rc == 0)
		rc = spawn_get_membership(server, request->body, &of, err);
	if (rc == 0)
		rc = spawn_data_open(server, request->body, &of, &view->data, err);
	if (rc == 0 && request->nfds == 2)
		rc = start_files(view, &of, request->fds, err);
	else if (rc == 0 && request->nfds == 1)
		rc = take_tree(view, request->fds[0], err);
	membership_put(&of);
	if (rc == 0 && server->pool)
		rc = make_pool(view, err);
	if (rc < 0)
		return rc;
	spawn_send_viewed(server, request->req, view->node.key);
	(void)steal_ptr(&view);
	return 0;
}

int spawn_handle_unview(
	struct spawn_server *server, struct spawn_request *request, struct ramet_err *err)
{
	uint64_t id;
	int rc = wire_get_uint(request->body, "view", UINT64_MAX, &id, err);
	struct idmap_node *node = rc == 0 ? idmap_find(&server->views, id) : NULL;
	if (node)
		view_destroy(idmap_entry(node, struct spawn_view_record, node));
	return rc;
}

void spawn_drop_views(struct spawn_server *server)
{
	uint32_t bucket = 0;
	struct idmap_node *node;
	while ((node = idmap_any(&server->views, &bucket)))
		view_destroy(idmap_entry(node, struct spawn_view_record, node));
}

int spawn_view_pool(struct spawn_server *server, uint64_t id, struct sandbox_pool **ret_pool,
	struct ramet_err *err)
{
	struct idmap_node *node = id ? idmap_find(&server->views, id) : NULL;
	if (id && !node)
		return err_set(err, RAMET_ENOTFOUND, "no view %llu", (unsigned long long)id);
	*ret_pool = node ? idmap_entry(node, struct spawn_view_record, node)->pool : server->pool;
	return 0;
}
