/* Bytes that do not change any more, and that many on this node have alike: kept once. What a
 * Python app may open is the same megabyte for each version of each app.
 *
 * Called on the node's loop thread; any thread may read the bytes of a blob while it is held. */
#ifndef CLUSTER_BLOBS_H
#define CLUSTER_BLOBS_H

#include <stddef.h>

struct blobs;
struct blob; /* counted */

struct blobs *blobs_create(void); /* NULL: no memory */
void blobs_destroy(struct blobs *blobs); /* NULL is fine; every blob was put before */

/* blob_share - the one of these bytes, which are malloc'ed and taken over: freed now if there is
 * one, else with the last reference. NULL: no memory, and they stay the caller's. */
struct blob *blob_share(struct blobs *blobs, void *data, size_t len);
void blob_put(struct blob *blob); /* NULL is fine */
const void *blob_data(const struct blob *blob);
size_t blob_len(const struct blob *blob);

#endif
