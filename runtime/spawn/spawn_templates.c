/* Templates: building them from waiting stubs. While one lives, the events of its userfaultfd are
 * read here: an unread one would stop the template for good. */
#include "base/clock.h"
#include "runtime/spawn/privileges.h"
#include "runtime/spawn/spawn_internal.h"
#include "runtime/spawn/spawn_template.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

struct template_files {
	int *fds;
	uint32_t count;
};

static void template_files_fini(struct template_files *files)
{
	for (uint32_t i = 0; i < files->count; i++)
		close_reset(&files->fds[i]);
	free(files->fds);
}

/* The content store is nobody's but ours, and rametd has seen to it that the tenant may have the
 * file. */
static bool in_store(const struct spawn_server *server, const char *path)
{
	const char *store = server->config.store_dir;
	size_t len = store ? strlen(store) : 0;
	return store && strncmp(path, store, len) == 0 &&
		strncmp(path + len, SPAWN_STORE_FILES, strlen(SPAWN_STORE_FILES)) == 0;
}

/* The path may lead elsewhere than when the file was hashed: to what the tenant must not read, or
 * to what is no file. */
static int open_file(const struct spawn_server *server, const struct membership *of,
	const char *path, struct ramet_err *err)
{
	struct stat st;
	int fd = in_store(server, path) ? open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
					: privileges_open_as(of->uid, of->gid, path);
	if (fd < 0 || fstat(fd, &st) < 0) {
		int rc = err_errno(err, RAMET_EIO, "open mapped file %s", path);
		close_reset(&fd);
		return rc;
	}
	if (S_ISREG(st.st_mode))
		return fd;
	close(fd);
	return err_set(err, RAMET_EREFUSED, "%s is not a file any more", path);
}

static int open_files(const struct spawn_server *server, const struct wire_value *body,
	const struct membership *of, struct template_files *files, struct ramet_err *err)
{
	char **paths;
	uint32_t count;
	int rc = spawn_get_strings(body, "files", &paths, &count, err);
	if (rc < 0)
		return rc;
	files->fds = malloc((count + 1) * sizeof(int));
	if (!files->fds)
		rc = err_nomem(err);
	for (uint32_t i = 0; rc == 0 && i < count; i++) {
		int fd = open_file(server, of, paths[i], err);
		if (fd < 0)
			rc = fd;
		else
			files->fds[files->count++] = fd;
	}
	free(paths);
	return rc;
}

/* --- its life --- */

void spawn_template_destroy(struct spawn_template_record *record)
{
	if (!record)
		return;
	idmap_remove(&record->server->templates, &record->node);
	loop_watch_remove(&record->watch);
	reaper_forget(record->server->reaper, &record->child);
	close_reset(&record->uffd);
	template_destroy(record->stub);
	sandbox_discard(record->next);
	membership_put(&record->of);
	free(record);
}

static void on_reaped(struct child *child, int wstatus, const struct rusage *usage)
{
	(void)usage;
	struct spawn_template_record *record =
		container_of(child, struct spawn_template_record, child);
	struct ramet_err why = {0};
	if (WIFSIGNALED(wstatus))
		(void)err_set(&why, RAMET_ECRASH, "the template was ended by signal %d (%s)",
			WTERMSIG(wstatus), strsignal(WTERMSIG(wstatus)));
	else
		(void)err_set(&why, RAMET_ECRASH, "the template exited with status %d",
			WEXITSTATUS(wstatus));
	if (record->built)
		spawn_send_gone(record->server, record->node.key, &why);
	spawn_template_destroy(record);
}

static void on_uffd(struct loop_watch *watch, uint32_t events)
{
	struct spawn_template_record *record =
		container_of(watch, struct spawn_template_record, watch);
	int child;
	while (template_read_fork(record->uffd, 0, &child, NULL) == 0)
		close_reset(&child); /* of no clone of ours */
	if (events & (EPOLLERR | EPOLLHUP))
		loop_watch_remove(watch);
}

static int keep_uffd(struct spawn_template_record *record, int uffd, struct ramet_err *err)
{
	record->uffd = uffd;
	if (uffd < 0)
		return 0;
	int flags = fcntl(uffd, F_GETFL); /* poll() on a blocking one is always an error */
	if (flags < 0 || fcntl(uffd, F_SETFL, flags | O_NONBLOCK) < 0)
		return err_errno(err, RAMET_EIO, "make the userfaultfd non-blocking");
	return loop_watch_add(record->server->loop, &record->watch, uffd, EPOLLIN, on_uffd, err);
}

/* --- building --- */

static int get_setup(
	const struct spawn_request *request, struct template_setup *setup, struct ramet_err *err)
{
	const struct wire_value *body = request->body;
	int rc = wire_get_bool_or(body, "uffd", false, &setup->uffd, err);
	if (rc == 0)
		rc = wire_get_bool_or(body, "record", false, &setup->record, err);
	if (rc == 0 && wire_has(body, "mono_offset"))
		rc = wire_get_int(body, "mono_offset", &setup->mono_offset_ns, err);
	if (rc == 0 && wire_has(body, "boot_offset"))
		rc = wire_get_int(body, "boot_offset", &setup->boot_offset_ns, err);
	setup->desc_fd = request->fds[0];
	setup->image_fd = request->fds[1];
	setup->layered = request->nfds == 3;
	if (setup->layered)
		setup->base_fd = request->fds[2];
	return rc;
}

static int record_create(struct spawn_server *server, const struct wire_value *body,
	struct spawn_template_record **ret_record, struct ramet_err *err)
{
	uint64_t id, view;
	struct sandbox_pool *pool = NULL;
	int rc = wire_get_uint(body, "tmpl", UINT64_MAX, &id, err);
	if (rc == 0)
		rc = wire_get_uint_or(body, "view", UINT64_MAX, 0, &view, err);
	if (rc == 0)
		rc = spawn_view_pool(server, view, &pool, err);
	if (rc < 0)
		return rc;
	if (idmap_find(&server->templates, id))
		return err_set(err, RAMET_EEXIST, "template %llu exists", (unsigned long long)id);
	struct spawn_template_record *record = calloc(1, sizeof(*record));
	if (!record)
		return err_nomem(err);
	record->server = server;
	record->pool = pool;
	record->uffd = -1;
	idmap_add(&server->templates, &record->node, id);
	*ret_record = record;
	return 0;
}

/* turns a stub into the template that `setup` describes */
static int build(
	struct spawn_template_record *record, struct template_setup *setup, struct ramet_err *err)
{
	struct spawn_server *server = record->server;
	int rc = spawn_take_stub(server, &record->stub, err);
	if (rc < 0)
		return rc;
	pid_t pid = template_pid(record->stub);
	reaper_add(server->reaper, &record->child, pid, on_reaped);
	if (cgroup_enter(record->of.group, pid) < 0)
		return err_errno(err, RAMET_EIO, "move the template into its cgroup");
	const struct syscall_filter *filter =
		&server->seccomp[record->of.isolates ? SYSCALLS_ISOLATES : SYSCALLS_ANY];
	setup->seccomp = filter->filter;
	setup->seccomp_len = filter->len;
	setup->landlock = record->of.isolates;
	setup->drop_groups = server->root;
	setup->gid = record->of.gid;
	setup->ns_pidfd = record->of.tenant ? record->of.tenant->pidfd : -1;
	int uffd = -1;
	rc = template_build(record->stub, setup, &uffd, err);
	return rc < 0 ? rc : keep_uffd(record, uffd, err);
}

int spawn_handle_template(
	struct spawn_server *server, struct spawn_request *request, struct ramet_err *err)
{
	uint64_t begin = now_ns();
	if (request->nfds != 2 && request->nfds != 3)
		return err_set(err, RAMET_EPROTO,
			"template: %u descriptors, not descriptor, image and perhaps base",
			request->nfds);
	struct template_setup setup = {0};
	CLEANUP(template_files_fini) struct template_files files = {0};
	AUTO(spawn_template_destroy) struct spawn_template_record *record = NULL;
	int rc = get_setup(request, &setup, err);
	if (rc == 0)
		rc = record_create(server, request->body, &record, err);
	if (rc == 0)
		rc = spawn_get_membership(server, request->body, &record->of, err);
	if (rc == 0)
		rc = open_files(server, request->body, &record->of, &files, err);
	if (rc != 0)
		return rc;
	setup.file_fds = files.fds;
	setup.nfiles = files.count;
	rc = build(record, &setup, err);
	if (rc < 0)
		return rc;
	record->recorder = setup.record && !setup.uffd;
	record->built = true;
	spawn_send_built(
		server, request->req, record->node.key, (now_ns() - begin) / NSEC_PER_USEC);
	(void)steal_ptr(&record);
	return 0;
}

int spawn_handle_drop(
	struct spawn_server *server, struct spawn_request *request, struct ramet_err *err)
{
	uint64_t id;
	int rc = wire_get_uint(request->body, "tmpl", UINT64_MAX, &id, err);
	struct idmap_node *node = rc == 0 ? idmap_find(&server->templates, id) : NULL;
	if (node)
		spawn_template_destroy(idmap_entry(node, struct spawn_template_record, node));
	return rc;
}

void spawn_drop_templates(struct spawn_server *server)
{
	uint32_t bucket = 0;
	struct idmap_node *node;
	while ((node = idmap_any(&server->templates, &bucket)))
		spawn_template_destroy(idmap_entry(node, struct spawn_template_record, node));
}
