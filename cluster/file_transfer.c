/* Fetching files by content from peers, and serving them: see file_transfer.h. */
#include "cluster/file_transfer.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/list.h"
#include "base/log.h"
#include "cluster/bus.h"
#include "cluster/store_dir.h"
#include "cluster/store_evict.h"
#include "cluster/workers.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH_CAP 640

struct file_transfer {
	struct file_transfer_options options;
	char dir[512];
	struct list fetches;
	uint64_t sequence; /* of part files */
	uint64_t bytes; /* kept, about */
	struct store_evict *evict; /* under way; NULL: none */
};

/* One file on its way; several may wait for it. */
struct download {
	struct list link;
	struct file_transfer *files; /* NULL: they have gone; only the worker's job is left */
	struct work work;
	struct list waiters;
	uint32_t nodes[FILE_MAX_SOURCES];
	unsigned nnodes, node; /* node: the one that is asked now */
	uint8_t sha256[FILE_SHA256_BYTES];
	uint32_t uid;
	uint64_t size, got;
	char part[PATH_CAP], final[PATH_CAP];
	int fd;
	void *chunk; /* on its way to the disk */
	size_t chunk_len;
	uint64_t call; /* bus request that waits, or 0 */
	struct loop_timer begin;
	struct ramet_err error;
};

struct file_fetch {
	struct list link;
	file_done_fn *fn;
	void *user;
};

static void on_evicted(void *user, uint64_t bytes)
{
	struct file_transfer *files = user;
	files->evict = NULL;
	files->bytes = bytes;
}

static void evict_later(struct file_transfer *files)
{
	if (!files->evict)
		files->evict = store_evict(files->options.workers, files->dir,
			files->options.max_bytes, on_evicted, files);
}

/* --- whose --- */

static void scope_of(const struct file_want *want, char dst[16])
{
	if (want->everybodys)
		memcpy(dst, "public", sizeof("public"));
	else
		snprintf(dst, 16, "%u", (unsigned)want->uid);
}

static int make_scope(
	const struct file_transfer *files, const struct file_want *want, struct ramet_err *err)
{
	char scope[16], path[PATH_CAP];
	scope_of(want, scope);
	snprintf(path, sizeof(path), "%s/%s", files->dir, scope);
	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return err_errno(err, RAMET_EIO, "make directory %s", path);
	return 0;
}

static void download_free(struct download *download)
{
	list_for_each_safe (waiter, &download->waiters, struct file_fetch, link) {
		list_remove(&waiter->link);
		free(waiter);
	}
	list_remove(&download->link);
	loop_timer_cancel(&download->begin);
	if (download->fd >= 0) {
		close(download->fd);
		unlink(download->part); /* fails, as it should, once the file has its name */
	}
	free(download);
}

static void download_end(struct download *download)
{
	list_remove(&download->link);
	while (!list_empty(&download->waiters)) {
		struct file_fetch *waiter = list_first(&download->waiters, struct file_fetch, link);
		file_done_fn *fn = waiter->fn;
		void *user = waiter->user;
		list_remove(&waiter->link);
		free(waiter);
		if (fn && download->error.code)
			fn(user, NULL, &download->error);
		else if (fn)
			fn(user, download->final, NULL);
	}
	download_free(download);
}

void file_fetch_forget(struct file_fetch *fetch)
{
	if (fetch)
		fetch->fn = NULL; /* freed with its download */
}

static uint32_t source_of(const struct download *download)
{
	return download->node < download->nnodes ? download->nodes[download->node] : 0;
}

/* --- checking, on a worker --- */

static void run_check(struct work *work)
{
	struct download *download = container_of(work, struct download, work);
	struct sha256 digest;
	if (sha256_fd(download->fd, &digest, &download->error) < 0)
		return;
	if (memcmp(digest.bytes, download->sha256, FILE_SHA256_BYTES) != 0)
		err_set(&download->error, RAMET_ECHECKSUM,
			"a file from node %u has another SHA-256 than it was asked for",
			source_of(download));
	else if (fchmod(download->fd, 0500) < 0 || rename(download->part, download->final) < 0)
		err_errno(&download->error, RAMET_EIO, "name %s", download->final);
}

static void next_source(struct download *download);

static void check_done(struct work *work)
{
	struct download *download = container_of(work, struct download, work);
	if (!download->files) {
		download_free(download);
		return;
	}
	download->work.run = NULL;
	if (download->error.code < 0) {
		next_source(download);
		return;
	}
	struct file_transfer *files = download->files;
	files->bytes += download->size;
	download_end(download);
	if (files->options.max_bytes && files->bytes > files->options.max_bytes)
		evict_later(files);
}

/* --- fetching --- */

static void on_chunk(void *user, const struct wire_value *body, const struct ramet_err *error);

static int ask_chunk(struct download *download)
{
	struct buf b = {0};
	wire_map(&b, 4);
	wire_kbin(&b, "sha256", download->sha256, sizeof(download->sha256));
	wire_kuint(&b, "uid", download->uid);
	wire_kuint(&b, "offset", download->got);
	wire_kuint(&b, "len", FILE_CHUNK);
	return bus_call(download->files->options.bus, source_of(download), "file.read", &b,
		FILE_CHUNK_MS * NSEC_PER_MSEC, on_chunk, download, &download->call,
		&download->error);
}

/* The file anew from the next source. Why the last one failed is told when none is left. */
static void next_source(struct download *download)
{
	while (++download->node < download->nnodes) {
		struct ramet_err error = download->error;
		log_warn("file.source", "node=%u err=%s msg=\"%s\"",
			download->nodes[download->node - 1], err_name(error.code), error.msg);
		download->got = 0;
		err_clear(&download->error);
		if (ftruncate(download->fd, 0) == 0 && ask_chunk(download) == 0)
			return;
		if (download->error.code == 0)
			err_copy(&download->error, &error);
	}
	download_end(download);
}

static int take_chunk(
	struct download *download, const struct wire_value *body, struct ramet_err *err)
{
	const void *data = NULL;
	uint64_t total = 0;
	size_t len = 0;
	int rc = wire_get_uint(body, "total", FILE_TRANSFER_MAX, &total, err);
	if (rc == 0)
		rc = wire_get_bin(body, "data", &data, &len, err);
	if (rc < 0)
		return rc;
	if (total != download->size || len == 0 || len > FILE_CHUNK || len > total - download->got)
		return err_set(err, RAMET_EPROTO,
			"node %u sent a chunk that does not fit the file asked for",
			source_of(download));
	download->chunk = malloc(len);
	if (!download->chunk)
		return err_nomem(err);
	memcpy(download->chunk, data, len);
	download->chunk_len = len;
	return 0;
}

static void check(struct download *download)
{
	download->work.run = run_check;
	download->work.done = check_done;
	workers_submit(download->files->options.workers, &download->work);
}

/* on a worker: the kernel makes those wait who write more than the disk takes */
static void run_write(struct work *work)
{
	struct download *download = container_of(work, struct download, work);
	if (pwrite(download->fd, download->chunk, download->chunk_len, (off_t)download->got) !=
		(ssize_t)download->chunk_len)
		err_errno(&download->error, RAMET_EIO, "write %s", download->part);
}

static void write_done(struct work *work)
{
	struct download *download = container_of(work, struct download, work);
	free(steal_ptr(&download->chunk));
	if (!download->files) {
		download_free(download);
		return;
	}
	download->work.run = NULL;
	download->got += download->chunk_len;
	if (download->error.code < 0)
		download_end(download);
	else if (download->got == download->size)
		check(download);
	else if (ask_chunk(download) < 0)
		next_source(download);
}

static void on_chunk(void *user, const struct wire_value *body, const struct ramet_err *error)
{
	struct download *download = user;
	download->call = 0;
	if (error)
		err_copy(&download->error, error);
	if (error || take_chunk(download, body, &download->error) < 0) {
		next_source(download);
		return;
	}
	download->work.run = run_write;
	download->work.done = write_done;
	workers_submit(download->files->options.workers, &download->work);
}

static void on_begin(struct loop_timer *timer)
{
	struct download *download = container_of(timer, struct download, begin);
	struct stat st;
	/* what is in the store was checked when it got its name */
	if (stat(download->final, &st) == 0 && (uint64_t)st.st_size == download->size) {
		(void)utimensat(AT_FDCWD, download->final, NULL, 0); /* used now */
		download_end(download);
		return;
	}
	download->fd = open(download->part, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (download->fd < 0) {
		err_errno(&download->error, RAMET_EIO, "make %s", download->part);
		download_end(download);
	} else if (download->size == 0) {
		check(download);
	} else if (download->nnodes == 0) {
		err_set(&download->error, RAMET_ENOTFOUND, "no node is known to have the file");
		download_end(download);
	} else if (ask_chunk(download) < 0) {
		next_source(download);
	}
}

static struct download *find_download(struct file_transfer *files, const char *final)
{
	list_for_each (download, &files->fetches, struct download, link)
		if (strcmp(download->final, final) == 0)
			return download;
	return NULL;
}

static struct download *download_new(struct file_transfer *files, const struct file_want *want)
{
	struct download *download = calloc(1, sizeof(*download));
	if (!download)
		return NULL;
	download->files = files;
	download->nnodes = MIN(want->nnodes, (unsigned)FILE_MAX_SOURCES);
	if (download->nnodes)
		memcpy(download->nodes, want->nodes, download->nnodes * sizeof(want->nodes[0]));
	download->size = want->size;
	download->uid = want->uid;
	download->fd = -1;
	memcpy(download->sha256, want->sha256, FILE_SHA256_BYTES);
	list_init(&download->waiters);
	list_append(&files->fetches, &download->link);
	file_store_path(files, want, download->final, sizeof(download->final));
	snprintf(download->part, sizeof(download->part), "%s/part.%llu", files->dir,
		(unsigned long long)++files->sequence);
	if (loop_timer_set(files->options.loop, &download->begin, now_ns(), on_begin) < 0) {
		download_free(download);
		return NULL;
	}
	return download;
}

int file_fetch_start(struct file_transfer *files, const struct file_want *want, file_done_fn *fn,
	void *user, struct file_fetch **ret_fetch, struct ramet_err *err)
{
	char final[PATH_CAP];
	if (want->size > FILE_TRANSFER_MAX)
		return err_set(err, RAMET_ELIMIT, "a file of %llu bytes is too large to fetch",
			(unsigned long long)want->size);
	int rc = make_scope(files, want, err);
	if (rc < 0)
		return rc;
	struct file_fetch *fetch = calloc(1, sizeof(*fetch));
	if (!fetch)
		return err_nomem(err);
	file_store_path(files, want, final, sizeof(final));
	struct download *download = find_download(files, final);
	if (!download || download->size != want->size)
		download = download_new(files, want);
	if (!download) {
		free(fetch);
		return err_nomem(err);
	}
	fetch->fn = fn;
	fetch->user = user;
	list_append(&download->waiters, &fetch->link);
	*ret_fetch = fetch;
	return 0;
}

/* --- serving --- */

void file_transfer_on_read(
	struct file_transfer *files, struct bus_request *request, const struct wire_value *body)
{
	struct ramet_err err = {0};
	char path[4096];
	const void *sha256;
	size_t sha256_len;
	uint64_t offset, len, uid;
	int rc = wire_get_bin(body, "sha256", &sha256, &sha256_len, &err);
	if (rc == 0 && sha256_len != FILE_SHA256_BYTES)
		rc = err_set(
			&err, RAMET_EPROTO, "sha256: %u bytes were expected", FILE_SHA256_BYTES);
	if (rc == 0)
		rc = wire_get_uint(body, "offset", FILE_TRANSFER_MAX, &offset, &err);
	if (rc == 0)
		rc = wire_get_uint(body, "len", FILE_CHUNK, &len, &err);
	if (rc == 0)
		rc = wire_get_uint(body, "uid", UINT32_MAX, &uid, &err);
	if (rc == 0 &&
		files->options.find(
			files->options.user, (uint32_t)uid, sha256, path, sizeof(path)) < 0)
		rc = err_set(&err, RAMET_ENOTFOUND, "no seed here names a file of that hash");
	if (rc == 0)
		rc = store_reply_chunk(files->options.workers, request, path, offset, len, &err);
	if (rc < 0)
		bus_reply_err(request, &err);
}

/* --- making and ending --- */

void file_store_path(
	const struct file_transfer *files, const struct file_want *want, char *dst, size_t cap)
{
	char hex[2 * FILE_SHA256_BYTES + 1], scope[16];
	scope_of(want, scope);
	hex_encode(want->sha256, FILE_SHA256_BYTES, hex);
	snprintf(dst, cap, "%s/%s/%s", files->dir, scope, hex);
}

int file_store_open(const struct file_transfer *files, const struct file_want *want)
{
	char path[PATH_CAP];
	struct stat st;
	file_store_path(files, want, path, sizeof(path));
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd >= 0 && (fstat(fd, &st) < 0 || (uint64_t)st.st_size != want->size))
		close_reset(&fd);
	return fd;
}

int file_transfer_create(const struct file_transfer_options *options,
	struct file_transfer **ret_files, struct ramet_err *err)
{
	struct file_transfer *files = calloc(1, sizeof(*files));
	if (!files)
		return err_nomem(err);
	files->options = *options;
	list_init(&files->fetches);
	int rc = store_dir_make(options->dir, "files", files->dir, sizeof(files->dir), err);
	if (rc == 0 && chmod(files->dir, 0700) < 0)
		rc = err_errno(err, RAMET_EIO, "chmod %s", files->dir);
	if (rc == 0)
		rc = store_evict_begin(files->dir, &files->bytes, err);
	if (rc < 0) {
		free(files);
		return rc;
	}
	*ret_files = files;
	return 0;
}

void file_transfer_destroy(struct file_transfer *files)
{
	if (!files)
		return;
	store_evict_forget(files->evict);
	list_for_each_safe (download, &files->fetches, struct download, link) {
		if (download->call)
			bus_forget(files->options.bus, download->call);
		list_remove(&download->link);
		if (download->work.run)
			download->files = NULL; /* its worker frees it */
		else
			download_free(download);
	}
	free(files);
}
