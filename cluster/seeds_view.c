/* The view of a seed on a node that lacks files of its manifest: ramet-files shows them, and asks
 * here for the content of those that are opened. What is asked for is fetched at once; the rest
 * comes in the background, small files first. */
#include "cluster/seeds_files.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/frame.h"
#include "base/log.h"
#include "cluster/blobs.h"
#include "cluster/calls.h"
#include "cluster/file_transfer.h"
#include "cluster/members.h"
#include "cluster/node.h"
#include "cluster/view_tree.h"
#include "runtime/files/files_proto.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define BACKGROUND_MAX 8 /* files on their way that nobody waits for */
#define BATCH_FILES 64u /* whose hashes are asked for at once, */
#define BATCH_BYTES (8u << 20) /* or so many bytes */
#define ASKED_MAX 4096 /* files on their way that somebody waits for */

/* a file on its way */
struct view_file {
	struct list link;
	struct seed_view *view;
	uint32_t entry;
	bool asked; /* somebody waits */
	bool background; /* begun when nobody did */
	uint64_t begun_ns;
	struct hashes_want *want; /* its hash is asked for; or */
	struct file_fetch *fetch; /* the file */
};

struct seed_view {
	struct seed *seed;
	uint64_t id;
	bool ready; /* templates can be built */
	uint64_t request; /* to ramet-spawn */
	struct frame_conn *control; /* NULL: without FUSE; then */
	struct view_tree *tree; /* all is put here once it has come */
	struct loop_timer later;
	struct list files;
	unsigned nbackground, nasked;
	uint32_t *order; /* entries to fetch in the background */
	uint32_t norder, next;
	uint32_t nhashed; /* of order: up to there their hashes are known, or cannot be */
	uint32_t hashing; /* and so many more are asked for */
	struct hashes_want *want;
	uint32_t nfailed;
	uint64_t begun_ns;
};

/* --- files --- */

static struct file_want want_of(const struct seed_view *view, uint32_t entry, uint32_t *nodes)
{
	const struct seed *seed = view->seed;
	const struct manifest_entry *e = &seed->manifest->manifest.entries[entry];
	return (struct file_want){
		.sha256 = seed->manifest->hashes[entry].bytes,
		.size = e->size,
		.uid = seed->app->uid,
		.everybodys = e->flags & MANIFEST_PUBLIC,
		.nodes = nodes,
		.nnodes = nodes ? seed_sources(seed, nodes, FILE_MAX_SOURCES) : 0,
	};
}

static void tell(struct seed_view *view, const char *type, uint32_t entry, int error, int fd)
{
	CLEANUP(buf_fini) struct buf b = {0};
	wire_map(&b, 3);
	wire_kstr(&b, "t", type);
	wire_kuint(&b, "entry", entry);
	wire_kuint(&b, "error", (uint64_t)error);
	if (wire_end(&b, NULL) < 0 ||
		frame_send(view->control, b.data, b.len, &fd, fd >= 0 ? 1 : 0) < 0)
		shutdown(frame_fd(view->control), SHUT_RDWR); /* it would wait for ever */
}

static void tell_failed(struct seed_view *view, uint32_t entry, const char *why)
{
	char path[MANIFEST_MAX_PATH] = "";
	(void)manifest_path(&view->seed->manifest->manifest, entry, path, sizeof(path));
	log_error("view.open", "version=%.12s file=\"%s\" msg=\"%s\"", view->seed->app->id, path,
		why);
	tell(view, "failed", entry, EIO, -1);
}

static void fetch_more(struct seed_view *view);
static void plant(struct loop_timer *timer);

static void file_free(struct view_file *file)
{
	struct seed_view *view = file->view;
	list_remove(&file->link);
	view->nbackground -= file->background;
	view->nasked -= file->asked;
	free(file);
}

static void on_fetched(void *user, const char *path, const struct ramet_err *error)
{
	struct view_file *file = user;
	struct seed_view *view = file->view;
	uint32_t entry = file->entry;
	bool asked = file->asked;
	file->fetch = NULL;
	view->nfailed += error != NULL;
	if (asked && !error) {
		auto_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
		log_debug("view.asked", "entry=%u us=%llu", entry,
			(unsigned long long)((now_ns() - file->begun_ns) / NSEC_PER_USEC));
		if (fd >= 0)
			tell(view, "file", entry, 0, fd);
		else
			tell_failed(view, entry, "it is not in the store any more");
	} else if (asked) {
		tell_failed(view, entry, error->msg);
	}
	file_free(file);
	fetch_more(view);
}

static struct view_file *find_file(const struct seed_view *view, uint32_t entry)
{
	list_for_each (file, &view->files, struct view_file, link)
		if (file->entry == entry)
			return file;
	return NULL;
}

static int start_fetch(struct view_file *file, struct ramet_err *err)
{
	const struct seed_view *view = file->view;
	uint32_t nodes[FILE_MAX_SOURCES];
	if (!view->seed->manifest->hashed[file->entry])
		return err_set(
			err, RAMET_ENOTFOUND, "it was changed where the seed was made, or is gone");
	const struct file_want want = want_of(view, file->entry, nodes);
	return file_fetch_start(
		view->seed->seeds->node->files, &want, on_fetched, file, &file->fetch, err);
}

static void on_hash(void *user, const struct ramet_err *error)
{
	struct view_file *file = user;
	struct ramet_err err = {0};
	file->want = NULL;
	if (error || start_fetch(file, &err) < 0)
		on_fetched(file, NULL, error ? error : &err);
}

static int fetch(struct seed_view *view, uint32_t entry, bool asked, struct ramet_err *err)
{
	struct view_file *file = calloc(1, sizeof(*file));
	if (!file)
		return err_nomem(err);
	*file = (struct view_file){.view = view,
		.entry = entry,
		.asked = asked,
		.background = !asked,
		.begun_ns = now_ns()};
	int rc = !asked || view->seed->manifest->hashed[entry]
		? start_fetch(file, err)
		: seed_hashes_want(view->seed, &entry, 1, on_hash, file, &file->want, err);
	if (rc < 0) {
		free(file);
		return rc;
	}
	list_append(&view->files, &file->link);
	view->nasked += asked;
	view->nbackground += !asked;
	return 0;
}

static void told_complete(struct seed_view *view)
{
	view->norder = 0;
	log_info("view.complete", "version=%.12s failed=%u ms=%llu", view->seed->app->id,
		view->nfailed, (unsigned long long)((now_ns() - view->begun_ns) / NSEC_PER_MSEC));
}

static void on_batch(void *user, const struct ramet_err *error)
{
	struct seed_view *view = user;
	view->want = NULL;
	if (error) { /* the rest comes when it is opened, if it can */
		log_warn("view.hashes", "version=%.12s err=%s msg=\"%s\"", view->seed->app->id,
			err_name(error->code), error->msg);
		view->nfailed += view->norder - view->nhashed;
		view->norder = view->nhashed;
	} else {
		view->nhashed += view->hashing;
	}
	view->hashing = 0;
	fetch_more(view);
}

/* the hashes of the next files, before they are needed */
static void hash_more(struct seed_view *view)
{
	const struct manifest *m = &view->seed->manifest->manifest;
	uint64_t bytes = 0;
	uint32_t n = 0;
	struct ramet_err err = {0};
	if (view->want || view->nhashed == view->norder ||
		view->nhashed - view->next > BACKGROUND_MAX)
		return;
	while (n < BATCH_FILES && view->nhashed + n < view->norder && bytes < BATCH_BYTES)
		bytes += m->entries[view->order[view->nhashed + n++]].size;
	view->hashing = n;
	if (seed_hashes_want(view->seed, view->order + view->nhashed, n, on_batch, view,
		    &view->want, &err) < 0)
		on_batch(view, &err);
}

static void fetch_more(struct seed_view *view)
{
	struct ramet_err err = {0};
	while (view->next < view->nhashed && view->nbackground < BACKGROUND_MAX) {
		uint32_t entry = view->order[view->next++];
		if (!find_file(view, entry) && fetch(view, entry, false, &err) < 0)
			view->nfailed++;
	}
	hash_more(view);
	if (view->norder && view->next == view->norder && list_empty(&view->files)) {
		told_complete(view);
		if (!view->control) /* later, since it may end the view */
			(void)loop_timer_set(
				view->seed->seeds->node->loop, &view->later, now_ns(), plant);
	}
}

/* --- opens --- */

static void on_open(struct seed_view *view, uint32_t entry)
{
	const struct seed *seed = view->seed;
	const struct manifest *m = &seed->manifest->manifest;
	struct ramet_err err = {0};
	struct view_file *file = find_file(view, entry);
	if (file) {
		view->nasked += !file->asked;
		file->asked = true;
		return;
	}
	auto_close int fd = -1;
	if (seed->manifest->hashed[entry]) {
		const struct file_want want = want_of(view, entry, NULL);
		fd = file_store_open(seed->seeds->node->files, &want);
	}
	if (fd < 0 && !seed->manifest->lacking.lacking[entry])
		fd = manifest_open_same(m, entry, seed->app->uid, seed->app->gid, NULL);
	if (fd >= 0)
		tell(view, "file", entry, 0, fd);
	else if (view->nasked == ASKED_MAX)
		tell_failed(view, entry, "too many files are waited for");
	else if (fetch(view, entry, true, &err) < 0)
		tell_failed(view, entry, err.msg);
}

static int take_open(struct seed_view *view, const struct wire_value *body, struct ramet_err *err)
{
	const struct manifest *m = &view->seed->manifest->manifest;
	char type[16];
	uint64_t entry = 0;
	int rc = wire_get_str(body, "t", type, sizeof(type), err);
	if (rc == 0 && strcmp(type, "open") != 0)
		rc = err_set(err, RAMET_EPROTO, "unexpected message %s", type);
	if (rc == 0)
		rc = wire_get_uint(body, "entry", m->header->nentries - 1, &entry, err);
	if (rc == 0 && m->entries[entry].type != MANIFEST_FILE)
		rc = err_set(err, RAMET_EPROTO, "entry %u is no file", (unsigned)entry);
	if (rc == 0)
		on_open(view, (uint32_t)entry);
	return rc;
}

static void on_frame(void *user, const unsigned char *data, size_t len, int *fds, unsigned nfds)
{
	struct seed_view *view = user;
	struct ramet_err err = {0};
	struct wire_msg *msg = NULL;
	(void)fds, (void)nfds;
	int rc = wire_parse(data, len, WIRE_LIMITS_CONTROL, &msg, &err);
	if (rc == 0)
		rc = take_open(view, wire_root(msg), &err);
	wire_free(msg);
	if (rc < 0)
		seed_view_lost(view->seed, &err);
}

static void on_closed(void *user, const struct ramet_err *err)
{
	const struct seed_view *view = user;
	seed_view_lost(view->seed, err);
}

static const struct frame_handler handler = {on_frame, on_closed};

/* --- its life --- */

void seed_view_destroy(struct seed_view *view)
{
	if (!view)
		return;
	struct spawn_client *spawn = view->seed->seeds->node->spawn;
	loop_timer_cancel(&view->later);
	seed_hashes_forget(view->want);
	list_for_each_safe (file, &view->files, struct view_file, link) {
		seed_hashes_forget(file->want);
		file_fetch_forget(file->fetch);
		file_free(file);
	}
	if (spawn && view->request)
		spawn_forget(spawn, view->request);
	else if (spawn && view->ready)
		spawn_unview(spawn, view->id);
	frame_conn_close(view->control);
	view_tree_drop(view->tree);
	free(view->order);
	free(view);
}

/* small files first: most of what is opened is small */
static const struct manifest *sorted; /* of one qsort(), on the one control loop */

static int by_size(const void *left, const void *right)
{
	uint64_t a = sorted->entries[*(const uint32_t *)left].size;
	uint64_t b = sorted->entries[*(const uint32_t *)right].size;
	return (a > b) - (a < b);
}

static int make_order(struct seed_view *view, struct ramet_err *err)
{
	const struct manifest *m = &view->seed->manifest->manifest;
	view->order = calloc(m->header->nentries, sizeof(*view->order));
	if (!view->order)
		return err_nomem(err);
	for (uint32_t i = 0; i < m->header->nentries; i++)
		if (m->entries[i].type == MANIFEST_FILE && view->seed->manifest->lacking.lacking[i])
			view->order[view->norder++] = i;
	sorted = m;
	qsort(view->order, view->norder, sizeof(*view->order), by_size);
	return 0;
}

static void on_viewed(void *user, struct spawn_result *result)
{
	struct seed_view *view = user;
	struct seed *seed = view->seed;
	view->request = 0;
	if (result->err.code < 0) {
		seed_view_lost(seed, &result->err);
		return;
	}
	view->ready = true;
	log_info("view.ready", "version=%.12s us=%llu files=%u", seed->app->id,
		(unsigned long long)((now_ns() - view->begun_ns) / NSEC_PER_USEC), view->norder);
	if (seed->cold)
		cold_viewed(seed->cold, NULL);
	else
		templates_go(seed);
}

static int ask_spawn(struct seed_view *view, struct spawn_view *request, struct ramet_err *err)
{
	const struct seed *seed = view->seed;
	char tenant[16];
	snprintf(tenant, sizeof(tenant), "%u", (unsigned)seed->app->uid);
	request->view = view->id;
	request->data = (const char *const *)seed->app->data.v;
	request->ndata = seed->app->data.count;
	request->tenant =
		(struct spawn_tenant){.uid = seed->app->uid, .gid = seed->app->gid, .name = tenant};
	return spawn_view(seed->seeds->node->spawn, request, on_viewed, view, &view->request, err);
}

static void on_tree(void *user, int dir_fd, const struct ramet_err *error)
{
	struct seed_view *view = user;
	struct ramet_err err = {0};
	struct spawn_view request = {.control_fd = -1, .manifest_fd = -1, .dir_fd = dir_fd};
	if (error || ask_spawn(view, &request, &err) < 0)
		seed_view_lost(view->seed, error ? error : &err);
}

/* Without FUSE: all has come, or cannot be had. */
static void plant(struct loop_timer *timer)
{
	struct seed_view *view = container_of(timer, struct seed_view, later);
	struct ramet_err err = {0};
	if (view->nfailed > 0)
		err_set(&err, RAMET_EIO,
			"%u files could not be fetched, and without /dev/fuse all must be here",
			view->nfailed);
	if (err.code == 0)
		(void)view_tree_begin(view->seed, view->id, on_tree, view, &view->tree, &err);
	if (err.code < 0)
		seed_view_lost(view->seed, &err);
}

static int make_memfd(const struct seed *seed, int *ret_fd, struct ramet_err *err)
{
	const struct blob *blob = seed->manifest->blob;
	auto_close int fd = memfd_create("ramet-manifest", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return err_errno(err, RAMET_EIO, "memfd_create");
	int rc = file_write_fd(fd, blob_data(blob), blob_len(blob), err);
	if (rc < 0)
		return rc;
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) < 0)
		return err_errno(err, RAMET_EIO, "seal the manifest");
	*ret_fd = steal_fd(&fd);
	return 0;
}

static int start(struct seed_view *view, struct ramet_err *err)
{
	struct seed *seed = view->seed;
	struct node *node = seed->seeds->node;
	int ends[2];
	auto_close int manifest = -1;
	int rc = make_memfd(seed, &manifest, err);
	if (rc < 0)
		return rc;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
		return err_errno(err, RAMET_EIO, "socketpair");
	auto_close int ours = ends[0];
	auto_close int theirs = ends[1];
	struct spawn_view request = {.control_fd = theirs, .manifest_fd = manifest, .dir_fd = -1};
	rc = frame_conn_create(node->loop, ours, FILES_MAX_FRAME, FILES_MAX_QUEUE, &handler, view,
		&view->control, err);
	if (rc < 0)
		return rc;
	(void)steal_fd(&ours);
	return ask_spawn(view, &request, err);
}

int seed_view_begin(struct seed *seed, bool lacking, struct ramet_err *err)
{
	struct seed_view *view = calloc(1, sizeof(*view));
	if (!view)
		return err_nomem(err);
	view->seed = seed;
	view->id = ++seed->seeds->next_view;
	view->begun_ns = now_ns();
	list_init(&view->files);
	static const struct spawn_view plain = {.control_fd = -1, .manifest_fd = -1, .dir_fd = -1};
	struct spawn_view request = plain;
	int rc = lacking ? make_order(view, err) : ask_spawn(view, &request, err);
	if (rc == 0 && lacking && spawn_client_caps(seed->seeds->node->spawn)->fuse)
		rc = start(view, err);
	if (rc < 0) {
		seed_view_destroy(view);
		return rc;
	}
	seed->view = view;
	if (!lacking)
		return 0;
	if (view->norder > 0)
		fetch_more(view);
	else if (!view->control)
		(void)loop_timer_set(seed->seeds->node->loop, &view->later, now_ns(), plant);
	return 0;
}

uint64_t seed_view_ready(const struct seed *seed)
{
	return seed->view && seed->view->ready ? seed->view->id : 0;
}
