/* What goes into a seed's manifest: found on the seed's own node, on a worker, with the file system
 * rights of the tenant, since it is the tenant's process that says where to look. */
#ifndef CLUSTER_MANIFEST_COLLECT_H
#define CLUSTER_MANIFEST_COLLECT_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define COLLECT_MAX_ROOTS 256
#define COLLECT_MAX_BYTES (16ull << 30) /* of all files together */

struct collect {
	uid_t uid;
	gid_t gid;
	const char *const *roots; /* absolute: files, or directories with all that is below */
	unsigned nroots;
	const char *store_dir; /* this node's own: not looked into; NULL: none */
};

/* manifest_collect - the manifest of the roots, what links lead to, and what shared libraries among
 * them need; nothing is hashed. What the tenant may not read, and what sandboxes do not show
 * (/proc, /sys, /dev, /run, /tmp, /ramet) is left out. Any thread but one that runs a loop: blocks,
 * and changes the thread's file system uid meanwhile. The bytes are to be freed. */
int manifest_collect(
	const struct collect *collect, void **ret_bytes, size_t *ret_len, struct ramet_err *err);

/* manifest_hash - of an entry's file, if it is what it was: 0, or -1. The same threads. */
struct manifest;
struct sha256;
int manifest_hash(
	const struct manifest *manifest, uint32_t entry, uid_t uid, gid_t gid, struct sha256 *ret);

/* manifest_compare - with this node: which entries are missing here, or others; and which are files
 * of the same size, written at another time. The same threads. */
struct lacking {
	uint8_t *lacking, *unsure; /* 0 or 1 for each entry; the caller's, zeroed */
	uint32_t nlacking, nunsure;
};
void manifest_compare(const struct manifest *manifest, uid_t uid, gid_t gid, struct lacking *ret);
/* manifest_open_same - the node's file at the entry's path if it is that file, opened with the
 * tenant's rights; else -1. sha256 NULL: size and time tell. */
int manifest_open_same(const struct manifest *manifest, uint32_t entry, uid_t uid, gid_t gid,
	const struct sha256 *sha256);

#endif
