/* One file at a time from a peer, by its SHA-256, into <dir>/store/files/<sha256 in hex>: for nodes
 * that lack a file which a seed maps. A peer serves only files that a seed it holds names
 * (seeds_names_file()). Control loop only. */
#ifndef CLUSTER_FILE_TRANSFER_H
#define CLUSTER_FILE_TRANSFER_H

#include "base/err.h"
#include "base/loop.h"
#include "base/wire.h"

#include <stddef.h>
#include <stdint.h>

#define FILE_SHA256_BYTES 32
#define FILE_CHUNK (1u << 20)
#define FILE_TRANSFER_MAX (1ull << 32) /* bytes of one file */

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
	/* the local path of a file that peers may have: 0 and path filled in, or RAMET_ENOTFOUND */
	int (*find)(void *user, const uint8_t sha256[FILE_SHA256_BYTES], char *path, size_t cap);
	void *user;
};
int file_transfer_create(const struct file_transfer_options *options,
	struct file_transfer **ret_files, struct ramet_err *err);
void file_transfer_destroy(struct file_transfer *files); /* NULL is fine */

/* file_store_path - where a file of that hash is kept on this node, whether it is there or not */
void file_store_path(const struct file_transfer *files, const uint8_t sha256[FILE_SHA256_BYTES],
	char *dst, size_t cap);

/* path: where it now is (valid during the call), error NULL; or path NULL and error */
typedef void file_done_fn(void *user, const char *path, const struct ramet_err *error);
/* file_fetch_start - at once if it is in the store, else from `node`, and checked: size and SHA-256
 * must agree before it gets its name. Fetches of one file are shared. fn is called later, exactly
 * once, unless forgotten before. */
int file_fetch_start(struct file_transfer *files, uint32_t node,
	const uint8_t sha256[FILE_SHA256_BYTES], uint64_t size, file_done_fn *fn, void *user,
	struct file_fetch **ret_fetch, struct ramet_err *err);
void file_fetch_forget(struct file_fetch *fetch); /* NULL is fine */

void file_transfer_on_read(
	struct file_transfer *files, struct bus_request *request, const struct wire_value *body);

#endif
