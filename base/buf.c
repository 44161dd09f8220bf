/* The growing byte buffer that messages are packed into. */
#include "base/cleanup.h"
#include "base/wire.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define BUF_FIRST 256

void buf_fini(struct buf *b)
{
	free(b->data);
	*b = (struct buf){0};
}

void buf_reset(struct buf *b)
{
	b->len = 0;
	b->oom = false;
}

static bool buf_reserve(struct buf *b, size_t more)
{
	if (b->oom)
		return false;
	if (more <= b->cap - b->len)
		return true;
	size_t cap = b->cap ? b->cap : BUF_FIRST;
	while (cap - b->len < more && cap <= SIZE_MAX / 2)
		cap *= 2;
	unsigned char *data = cap - b->len < more ? NULL : realloc(b->data, cap);
	if (!data) {
		b->oom = true;
		return false;
	}
	b->data = data;
	b->cap = cap;
	return true;
}

void *buf_extend(struct buf *b, size_t len)
{
	if (!buf_reserve(b, len ? len : 1))
		return NULL;
	void *room = b->data + b->len;
	b->len += len;
	return room;
}

void buf_append(struct buf *b, const void *data, size_t len)
{
	if (len == 0)
		return;
	void *room = buf_extend(b, len);
	if (room)
		memcpy(room, data, len);
}

unsigned char *buf_steal(struct buf *b, size_t *ret_len)
{
	unsigned char *data = steal_ptr(&b->data);
	*ret_len = b->len;
	*b = (struct buf){0};
	return data;
}
