/* See blobs.h. */
#include "cluster/blobs.h"

#include "base/hash.h"
#include "base/list.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct blobs {
	struct list list; /* few differ */
};

struct blob {
	struct list link;
	unsigned refs;
	uint64_t hash; /* tells most others apart; nothing rests on it */
	void *data;
	size_t len;
};

struct blobs *blobs_create(void)
{
	struct blobs *blobs = malloc(sizeof(*blobs));
	if (blobs)
		list_init(&blobs->list);
	return blobs;
}

void blobs_destroy(struct blobs *blobs)
{
	free(blobs);
}

struct blob *blob_share(struct blobs *blobs, void *data, size_t len)
{
	uint64_t hash = hash64(data, len);
	list_for_each (blob, &blobs->list, struct blob, link) {
		if (blob->hash != hash || blob->len != len || memcmp(blob->data, data, len) != 0)
			continue;
		free(data);
		blob->refs++;
		return blob;
	}
	struct blob *blob = malloc(sizeof(*blob));
	if (!blob)
		return NULL;
	*blob = (struct blob){.refs = 1, .hash = hash, .data = data, .len = len};
	list_append(&blobs->list, &blob->link);
	return blob;
}

void blob_put(struct blob *blob)
{
	if (!blob || --blob->refs > 0)
		return;
	list_remove(&blob->link);
	free(blob->data);
	free(blob);
}

const void *blob_data(const struct blob *blob)
{
	return blob->data;
}

size_t blob_len(const struct blob *blob)
{
	return blob->len;
}
