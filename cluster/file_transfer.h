/* The content store: files by their SHA-256, in <dir>/store/files/<whose>/<sha256 in hex>, fetched
 * from peers for nodes that lack what a seed maps or may open. Whose: a tenant's uid, or "public"
 * for what everybody may read where it comes from; no tenant gets what was fetched for another.
 * Only rametd and ramet-spawn can look inside. What has its name there was checked, and survives a
 * restart. A peer serves only files that a seed it holds names (seeds_find_file()). Control loop
 * only. */
#ifndef CLUSTER_FILE_TRANSFER_H
#define CLUSTER_FILE_TRANSFER_H

#include "base/err.h"
#include "base/loop.h"
#include "base/wire.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FILE_SHA256_BYTES 32
#define FILE_CHUNK (1u << 20)
#define FILE_CHUNK_MS 5000
#define FILE_TRANSFER_MAX (1ull << 32) /* bytes of one file */
#define FILE_MAX_SOURCES 8

struct bus;
struct bus_request;
struct workers;
struct file_transfer;
struct file_fetch;

struct file_transfer_options {
	const char *dir;
	struct loop *loop;
	struct bus *bus;
	struct workers *workers;
	/* the local path of a file that peers may have for a tenant: 0 and path filled in, or
	 * RAMET_ENOTFOUND */
	int (*find)(void *user, uint32_t uid, const uint8_t sha256[FILE_SHA256_BYTES], char *path,
		size_t cap);
	void *user;
	uint64_t max_bytes; /* of what is kept; 0: no limit */
};
int file_transfer_create(const struct file_transfer_options *options,
	struct file_transfer **ret_files, struct ramet_err *err);
void file_transfer_destroy(struct file_transfer *files); /* NULL is fine */

struct file_want {
	const uint8_t *sha256; /* FILE_SHA256_BYTES */
	uint64_t size;
	uint32_t uid; /* the tenant that needs it */
	bool everybodys; /* world-readable where it comes from: kept once for all tenants */
	const uint32_t *nodes; /* to be asked, in this order, until one has it */
	unsigned nnodes; /* at most FILE_MAX_SOURCES; more are not asked */
};

/* file_store_path - where such a file is kept on this node, whether it is there or not */
void file_store_path(
	const struct file_transfer *files, const struct file_want *want, char *dst, size_t cap);
/* file_store_open - for reading, if it is there; else -1 */
int file_store_open(const struct file_transfer *files, const struct file_want *want);

/* path: where it now is (valid during the call), error NULL; or path NULL and error */
typedef void file_done_fn(void *user, const char *path, const struct ramet_err *error);
/* file_fetch_start - at once if it is in the store, else from a peer, and checked: size and SHA-256
 * must agree before it gets its name; a source that sends anything else is left for the next. Each
 * piece must come within FILE_CHUNK_MS. Fetches of one file are shared. fn is called later, exactly
 * once, unless forgotten before. */
int file_fetch_start(struct file_transfer *files, const struct file_want *want, file_done_fn *fn,
	void *user, struct file_fetch **ret_fetch, struct ramet_err *err);
void file_fetch_forget(struct file_fetch *fetch); /* NULL is fine */

void file_transfer_on_read(
	struct file_transfer *files, struct bus_request *request, const struct wire_value *body);

#endif
