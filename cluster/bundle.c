/* The bundles of a node: installing on workers, fetching from peers, serving to peers. See
 * bundle.h. */
#include "cluster/bundle.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/list.h"
#include "base/log.h"
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

struct bundles {
	struct bundles_options options;
	char apps_dir[512];
	struct list transfers; /* under way: to be fetched or installed */
};

/* One version on its way here; ends when it is installed or all its sources have failed. */
struct transfer {
	struct list link;
	struct bundles *bundles; /* NULL: the bundles have gone; only the worker's job is left */
	struct work work;
	char apps_dir[512];
	char version[VERSION_HEX + 1];
	struct list waiters;
	uint32_t *nodes;
	unsigned nnodes, next;
	uint64_t call; /* bus request that waits, or 0 */
	uint64_t total;
	struct buf archive;
	struct loop_timer finish; /* when it was here already */
	struct ramet_err error;
	bool remove; /* delete rather than install */
};

struct bundle_fetch {
	struct list link;
	bundle_done_fn *fn;
	void *user;
};

static void fetch_next(struct transfer *transfer);

static struct transfer *find_transfer(struct bundles *bundles, const char *version)
{
	list_for_each (transfer, &bundles->transfers, struct transfer, link)
		if (strcmp(transfer->version, version) == 0 && !transfer->remove)
			return transfer;
	return NULL;
}

static void transfer_free(struct transfer *transfer)
{
	list_for_each_safe (waiter, &transfer->waiters, struct bundle_fetch, link) {
		list_remove(&waiter->link);
		free(waiter);
	}
	list_remove(&transfer->link);
	loop_timer_cancel(&transfer->finish);
	buf_fini(&transfer->archive);
	free(transfer->nodes);
	free(transfer);
}

/* a waiter's fn may forget others, and may begin another transfer */
static void transfer_end(struct transfer *transfer)
{
	list_remove(&transfer->link);
	while (!list_empty(&transfer->waiters)) {
		struct bundle_fetch *waiter =
			list_first(&transfer->waiters, struct bundle_fetch, link);
		bundle_done_fn *fn = waiter->fn;
		void *user = waiter->user;
		list_remove(&waiter->link);
		free(waiter);
		if (fn)
			fn(user, transfer->error.code ? &transfer->error : NULL);
	}
	transfer_free(transfer);
}

static int transfer_new(
	struct bundles *bundles, const char *version, struct transfer **ret_transfer)
{
	struct transfer *transfer = calloc(1, sizeof(*transfer));
	if (!transfer)
		return RAMET_ENOMEM;
	transfer->bundles = bundles;
	snprintf(transfer->version, sizeof(transfer->version), "%s", version);
	snprintf(transfer->apps_dir, sizeof(transfer->apps_dir), "%s", bundles->apps_dir);
	list_init(&transfer->waiters);
	list_append(&bundles->transfers, &transfer->link);
	*ret_transfer = transfer;
	return 0;
}

static struct bundle_fetch *wait_for(struct transfer *transfer, bundle_done_fn *fn, void *user)
{
	struct bundle_fetch *waiter = calloc(1, sizeof(*waiter));
	if (!waiter)
		return NULL;
	waiter->fn = fn;
	waiter->user = user;
	list_append(&transfer->waiters, &waiter->link);
	return waiter;
}

void bundle_fetch_forget(struct bundle_fetch *fetch)
{
	if (fetch)
		fetch->fn = NULL; /* freed with its transfer */
}

/* --- on a worker --- */

static void run_work(struct work *work)
{
	struct transfer *transfer = container_of(work, struct transfer, work);
	err_clear(&transfer->error);
	if (transfer->remove)
		bundle_delete(transfer->apps_dir, transfer->version, &transfer->error);
	else
		bundle_install(transfer->apps_dir, transfer->version, transfer->archive.data,
			transfer->archive.len, &transfer->error);
}

static void work_done(struct work *work)
{
	struct transfer *transfer = container_of(work, struct transfer, work);
	if (!transfer->bundles) {
		transfer_free(transfer);
		return;
	}
	if (transfer->error.code && !transfer->remove && transfer->nodes) {
		log_err(LOG_WARN, "bundle.bad", &transfer->error);
		fetch_next(transfer); /* another source may have it right */
		return;
	}
	transfer_end(transfer);
}

static void submit(struct transfer *transfer)
{
	transfer->work.run = run_work;
	transfer->work.done = work_done;
	workers_submit(transfer->bundles->options.workers, &transfer->work);
}

int bundles_add(struct bundles *bundles, const char *version, struct buf *archive,
	bundle_done_fn *fn, void *user, struct bundle_fetch **ret_add, struct ramet_err *err)
{
	struct transfer *transfer;
	struct buf own = *archive;
	*archive = (struct buf){0};
	if (transfer_new(bundles, version, &transfer) < 0) {
		buf_fini(&own);
		return err_nomem(err);
	}
	transfer->archive = own;
	struct bundle_fetch *add = wait_for(transfer, fn, user);
	if (!add) {
		transfer_free(transfer);
		return err_nomem(err);
	}
	submit(transfer);
	if (ret_add)
		*ret_add = add;
	return 0;
}

void bundles_remove(struct bundles *bundles, const char *version)
{
	struct transfer *transfer;
	if (transfer_new(bundles, version, &transfer) < 0)
		return;
	transfer->remove = true;
	submit(transfer);
}

/* --- fetching --- */

static void on_chunk(void *user, const struct wire_value *body, const struct ramet_err *error);

static int ask_chunk(struct transfer *transfer)
{
	struct buf b = {0};
	wire_map(&b, 3);
	wire_kstr(&b, "version", transfer->version);
	wire_kuint(&b, "offset", transfer->archive.len);
	wire_kuint(&b, "len", BUNDLE_CHUNK);
	return bus_call(transfer->bundles->options.bus, transfer->nodes[transfer->next - 1],
		"bundle.read", &b, CHUNK_TIMEOUT_NS, on_chunk, transfer, &transfer->call,
		&transfer->error);
}

static void fetch_next(struct transfer *transfer)
{
	while (transfer->next < transfer->nnodes) {
		transfer->next++;
		transfer->total = 0;
		buf_reset(&transfer->archive);
		if (ask_chunk(transfer) == 0)
			return;
	}
	if (!transfer->error.code)
		err_set(&transfer->error, RAMET_ENOTFOUND, "no node has the files of version %.12s",
			transfer->version);
	transfer_end(transfer);
}

static int take_chunk(
	struct transfer *transfer, const struct wire_value *body, struct ramet_err *err)
{
	const void *data = NULL;
	uint64_t total = 0;
	size_t len = 0;
	int rc = wire_get_uint(body, "total", BUNDLE_ARCHIVE_MAX, &total, err);
	if (rc == 0)
		rc = wire_get_bin(body, "data", &data, &len, err);
	if (rc < 0)
		return rc;
	if (len == 0 || len > BUNDLE_CHUNK || len > total - MIN(total, transfer->archive.len) ||
		(transfer->total && transfer->total != total))
		return err_set(err, RAMET_EPROTO, "a chunk of version %.12s does not fit",
			transfer->version);
	transfer->total = total;
	buf_append(&transfer->archive, data, len);
	return transfer->archive.oom ? err_nomem(err) : 0;
}

static void on_chunk(void *user, const struct wire_value *body, const struct ramet_err *error)
{
	struct transfer *transfer = user;
	transfer->call = 0;
	if (error)
		err_copy(&transfer->error, error);
	if (error || take_chunk(transfer, body, &transfer->error) < 0) {
		fetch_next(transfer);
		return;
	}
	if (transfer->archive.len == transfer->total)
		submit(transfer);
	else if (ask_chunk(transfer) < 0)
		fetch_next(transfer);
}

/* what can be said at once is still said later */
static void on_begin(struct loop_timer *timer)
{
	struct transfer *transfer = container_of(timer, struct transfer, finish);
	if (bundles_have(transfer->bundles, transfer->version))
		transfer_end(transfer);
	else
		fetch_next(transfer);
}

int bundles_fetch(struct bundles *bundles, const char *version, const uint32_t *nodes,
	unsigned nnodes, bundle_done_fn *fn, void *user, struct bundle_fetch **ret_fetch,
	struct ramet_err *err)
{
	if (!version_valid(version))
		return err_set(err, RAMET_EINVAL, "a version is named by %u hexadecimal digits",
			VERSION_HEX);
	struct transfer *transfer = find_transfer(bundles, version);
	bool begin = !transfer;
	if (begin) {
		if (transfer_new(bundles, version, &transfer) < 0)
			return err_nomem(err);
		transfer->nodes = calloc(nnodes ? nnodes : 1, sizeof(*nodes));
		if (transfer->nodes && nnodes)
			memcpy(transfer->nodes, nodes, nnodes * sizeof(*nodes));
		transfer->nnodes = nnodes;
	}
	struct bundle_fetch *fetch = wait_for(transfer, fn, user);
	if (begin &&
		(!fetch || !transfer->nodes ||
			loop_timer_set(bundles->options.loop, &transfer->finish, now_ns(),
				on_begin) < 0)) {
		transfer_free(transfer);
		return err_nomem(err);
	}
	if (!fetch)
		return err_nomem(err);
	*ret_fetch = fetch;
	return 0;
}

/* --- serving --- */

void bundles_on_read(
	struct bundles *bundles, struct bus_request *request, const struct wire_value *body)
{
	struct ramet_err err = {0};
	char version[VERSION_HEX + 1];
	uint64_t offset, len;
	int rc = wire_get_str(body, "version", version, sizeof(version), &err);
	if (rc == 0 && !version_valid(version))
		rc = err_set(&err, RAMET_EPROTO, "version: %u hexadecimal digits were expected",
			VERSION_HEX);
	if (rc == 0)
		rc = wire_get_uint(body, "offset", BUNDLE_ARCHIVE_MAX, &offset, &err);
	if (rc == 0)
		rc = wire_get_uint(body, "len", BUNDLE_CHUNK, &len, &err);
	if (rc == 0) {
		char path[640];
		snprintf(path, sizeof(path), "%s/%s.bundle", bundles->apps_dir, version);
		rc = store_reply_chunk(bundles->options.workers, request, path, offset, len, &err);
	}
	if (rc < 0)
		bus_reply_err(request, &err);
}

static void push_done(void *user, const struct ramet_err *error)
{
	if (error)
		log_err(LOG_WARN, "bundle.push", error);
}

void bundles_on_push(
	struct bundles *bundles, struct bus_request *request, const struct wire_value *body)
{
	struct ramet_err err = {0};
	char version[VERSION_HEX + 1];
	const void *data;
	size_t len;
	struct buf archive = {0};
	int rc = wire_get_str(body, "version", version, sizeof(version), &err);
	if (rc == 0)
		rc = wire_get_bin(body, "archive", &data, &len, &err);
	if (rc == 0 && (!version_valid(version) || len > BUNDLE_PUSH_MAX))
		rc = err_set(
			&err, RAMET_EPROTO, "a pushed bundle has no valid name, or is too large");
	if (rc == 0 && !bundles_have(bundles, version)) {
		buf_append(&archive, data, len);
		rc = archive.oom
			? err_nomem(&err)
			: bundles_add(bundles, version, &archive, push_done, NULL, NULL, &err);
	}
	if (rc < 0)
		log_err(LOG_WARN, "bundle.push", &err);
	buf_fini(&archive);
	bus_reply(request, NULL);
}

void bundles_push(
	struct bundles *bundles, uint32_t node, const char *version, const struct buf *archive)
{
	struct buf b = {0};
	wire_map(&b, 2);
	wire_kstr(&b, "version", version);
	wire_kbin(&b, "archive", archive->data, archive->len);
	bus_notify(bundles->options.bus, node, "bundle.push", &b);
}

/* --- looking, making, ending --- */

bool bundles_have(const struct bundles *bundles, const char *version)
{
	char path[640];
	return bundles_path(bundles, version, path, sizeof(path)) == 0 && access(path, F_OK) == 0;
}

int bundles_path(const struct bundles *bundles, const char *version, char *dst, size_t cap)
{
	if (!version_valid(version))
		return RAMET_EINVAL;
	int len = snprintf(dst, cap, "%s/%s", bundles->apps_dir, version);
	return len < 0 || (size_t)len >= cap ? RAMET_ELIMIT : 0;
}

int bundles_create(
	const struct bundles_options *options, struct bundles **ret_bundles, struct ramet_err *err)
{
	struct bundles *bundles = calloc(1, sizeof(*bundles));
	if (!bundles)
		return err_nomem(err);
	bundles->options = *options;
	list_init(&bundles->transfers);
	int rc = store_dir_make(
		options->dir, "apps", bundles->apps_dir, sizeof(bundles->apps_dir), err);
	if (rc == 0)
		rc = store_dir_clean_apps(bundles->apps_dir, err);
	if (rc < 0) {
		bundles_destroy(bundles);
		return rc;
	}
	*ret_bundles = bundles;
	return 0;
}

void bundles_destroy(struct bundles *bundles)
{
	if (!bundles)
		return;
	list_for_each_safe (transfer, &bundles->transfers, struct transfer, link) {
		if (transfer->call)
			bus_forget(bundles->options.bus, transfer->call);
		list_remove(&transfer->link);
		if (transfer->work.run) {
			loop_timer_cancel(&transfer->finish);
			transfer->bundles = NULL; /* its worker frees it */
		} else {
			transfer_free(transfer);
		}
	}
	if (bundles->apps_dir[0])
		store_dir_clean_apps(bundles->apps_dir, NULL);
	free(bundles);
}
