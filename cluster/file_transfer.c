/* Fetching files by content from peers, and serving them: see file_transfer.h. */
#include "cluster/file_transfer.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/list.h"
#include "cluster/bus.h"
#include "cluster/store_dir.h"
#include "cluster/workers.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHUNK_TIMEOUT_NS (5 * NSEC_PER_SEC)
#define PATH_CAP 640

struct file_transfer {
	struct file_transfer_options options;
	char dir[512];
	struct list fetches;
	uint64_t sequence; /* of part files */
};

/* One file on its way; several may wait for it. */
struct download {
	struct list link;
	struct file_transfer *files; /* NULL: they have gone; only the worker's job is left */
	struct work work;
	struct list waiters;
	uint32_t node;
	uint8_t sha256[FILE_SHA256_BYTES];
	uint64_t size, got;
	char part[PATH_CAP], final[PATH_CAP];
	int fd;
	uint64_t call; /* bus request that waits, or 0 */
	struct loop_timer begin;
	struct ramet_err error;
};

struct file_fetch {
	struct list link;
	file_done_fn *fn;
	void *user;
};

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
			download->node);
	else if (fchmod(download->fd, 0555) < 0 || rename(download->part, download->final) < 0)
		err_errno(&download->error, RAMET_EIO, "name %s", download->final);
}

static void check_done(struct work *work)
{
	struct download *download = container_of(work, struct download, work);
	if (download->files)
		download_end(download);
	else
		download_free(download);
}

/* --- fetching --- */

static void on_chunk(void *user, const struct wire_value *body, const struct ramet_err *error);

static int ask_chunk(struct download *download)
{
	struct buf b = {0};
	wire_map(&b, 3);
	wire_kbin(&b, "sha256", download->sha256, sizeof(download->sha256));
	wire_kuint(&b, "offset", download->got);
	wire_kuint(&b, "len", FILE_CHUNK);
	return bus_call(download->files->options.bus, download->node, "file.read", &b,
		CHUNK_TIMEOUT_NS, on_chunk, download, &download->call, &download->error);
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
			download->node);
	if (pwrite(download->fd, data, len, (off_t)download->got) != (ssize_t)len)
		return err_errno(err, RAMET_EIO, "write %s", download->part);
	download->got += len;
	return 0;
}

static void check(struct download *download)
{
	download->work.run = run_check;
	download->work.done = check_done;
	workers_submit(download->files->options.workers, &download->work);
}

static void on_chunk(void *user, const struct wire_value *body, const struct ramet_err *error)
{
	struct download *download = user;
	download->call = 0;
	if (error)
		err_copy(&download->error, error);
	bool taken = !error && take_chunk(download, body, &download->error) == 0;
	if (taken && download->got == download->size)
		check(download);
	else if (!taken || ask_chunk(download) < 0)
		download_end(download);
}

static void on_begin(struct loop_timer *timer)
{
	struct download *download = container_of(timer, struct download, begin);
	struct stat st;
	/* what is in the store was checked when it got its name */
	if (stat(download->final, &st) == 0 && (uint64_t)st.st_size == download->size) {
		download_end(download);
		return;
	}
	download->fd = open(download->part, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (download->fd < 0) {
		err_errno(&download->error, RAMET_EIO, "make %s", download->part);
		download_end(download);
	} else if (download->size == 0) {
		check(download);
	} else if (ask_chunk(download) < 0) {
		download_end(download);
	}
}

static struct download *find_download(struct file_transfer *files, const uint8_t *sha256)
{
	list_for_each (download, &files->fetches, struct download, link)
		if (memcmp(download->sha256, sha256, FILE_SHA256_BYTES) == 0)
			return download;
	return NULL;
}

static struct download *download_new(
	struct file_transfer *files, uint32_t node, const uint8_t *sha256, uint64_t size)
{
	struct download *download = calloc(1, sizeof(*download));
	if (!download)
		return NULL;
	download->files = files;
	download->node = node;
	download->size = size;
	download->fd = -1;
	memcpy(download->sha256, sha256, FILE_SHA256_BYTES);
	list_init(&download->waiters);
	list_append(&files->fetches, &download->link);
	file_store_path(files, sha256, download->final, sizeof(download->final));
	snprintf(download->part, sizeof(download->part), "%s/part.%d.%llu", files->dir,
		(int)getpid(), (unsigned long long)++files->sequence);
	if (loop_timer_set(files->options.loop, &download->begin, now_ns(), on_begin) < 0) {
		download_free(download);
		return NULL;
	}
	return download;
}

int file_fetch_start(struct file_transfer *files, uint32_t node,
	const uint8_t sha256[FILE_SHA256_BYTES], uint64_t size, file_done_fn *fn, void *user,
	struct file_fetch **ret_fetch, struct ramet_err *err)
{
	if (size > FILE_TRANSFER_MAX)
		return err_set(err, RAMET_ELIMIT, "a file of %llu bytes is too large to fetch",
			(unsigned long long)size);
	struct file_fetch *fetch = calloc(1, sizeof(*fetch));
	if (!fetch)
		return err_nomem(err);
	struct download *download = find_download(files, sha256);
	if (!download || download->size != size)
		download = download_new(files, node, sha256, size);
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
	uint64_t offset, len;
	int rc = wire_get_bin(body, "sha256", &sha256, &sha256_len, &err);
	if (rc == 0 && sha256_len != FILE_SHA256_BYTES)
		rc = err_set(
			&err, RAMET_EPROTO, "sha256: %u bytes were expected", FILE_SHA256_BYTES);
	if (rc == 0)
		rc = wire_get_uint(body, "offset", FILE_TRANSFER_MAX, &offset, &err);
	if (rc == 0)
		rc = wire_get_uint(body, "len", FILE_CHUNK, &len, &err);
	if (rc == 0 && files->options.find(files->options.user, sha256, path, sizeof(path)) < 0)
		rc = err_set(&err, RAMET_ENOTFOUND, "no seed here names a file of that hash");
	if (rc == 0)
		rc = store_reply_chunk(request, path, offset, len, &err);
	if (rc < 0)
		bus_reply_err(request, &err);
}

/* --- making and ending --- */

void file_store_path(const struct file_transfer *files, const uint8_t sha256[FILE_SHA256_BYTES],
	char *dst, size_t cap)
{
	char hex[2 * FILE_SHA256_BYTES + 1];
	hex_encode(sha256, FILE_SHA256_BYTES, hex);
	snprintf(dst, cap, "%s/%s", files->dir, hex);
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
