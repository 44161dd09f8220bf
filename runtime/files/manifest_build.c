/* Making manifests: items in any order, then one sealed tree. */
#include "runtime/files/manifest.h"

#include "base/hash.h"
#include "base/wire.h"

#include <stdlib.h>
#include <string.h>

struct item {
	char *path, *link; /* of the path's memory */
	size_t len;
	unsigned depth;
	uint32_t index; /* in the sealed manifest */
	struct manifest_entry entry; /* as far as known */
};

/* Paths lie one after the other in pieces of memory so large that malloc maps each on its own.
 * Twenty thousand small ones, freed again, would leave what others allocate meanwhile scattered
 * over as many pages. */
#define PIECE_BYTES (256u << 10)
struct piece {
	struct piece *next;
	size_t used;
	char bytes[PIECE_BYTES];
};

struct manifest_builder {
	struct piece *pieces;
	struct item *items;
	unsigned nitems, cap;
	uint32_t *table; /* item numbers + 1 by hash of path; 0: free */
	unsigned table_len; /* a power of two */
	size_t bytes; /* of strings */
};

int manifest_builder_create(struct manifest_builder **ret_builder, struct ramet_err *err)
{
	struct manifest_builder *b = calloc(1, sizeof(*b));
	if (!b)
		return err_nomem(err);
	b->table_len = 1024;
	b->table = calloc(b->table_len, sizeof(*b->table));
	const struct manifest_item root = {.path = "/", .type = MANIFEST_DIR, .mode = 0755};
	int rc = b->table ? manifest_add(b, &root, err) : err_nomem(err);
	if (rc < 0) {
		manifest_builder_destroy(b);
		return rc;
	}
	*ret_builder = b;
	return 0;
}

void manifest_builder_destroy(struct manifest_builder *b)
{
	if (!b)
		return;
	while (b->pieces) {
		struct piece *piece = b->pieces;
		b->pieces = piece->next;
		free(piece);
	}
	free(b->items);
	free(b->table);
	free(b);
}

/* --- finding --- */

static uint32_t *slot_of(const struct manifest_builder *b, const char *path)
{
	size_t at = hash64(path, strlen(path)) & (b->table_len - 1);
	while (b->table[at] && strcmp(b->items[b->table[at] - 1].path, path) != 0)
		at = (at + 1) & (b->table_len - 1);
	return &b->table[at];
}

static struct item *find(const struct manifest_builder *b, const char *path)
{
	uint32_t number = *slot_of(b, path);
	return number ? &b->items[number - 1] : NULL;
}

static int grow(struct manifest_builder *b, struct ramet_err *err)
{
	if (b->nitems == b->cap) {
		unsigned cap = b->cap ? 2 * b->cap : 256;
		struct item *items = realloc(b->items, cap * sizeof(*items));
		if (!items)
			return err_nomem(err);
		b->items = items;
		b->cap = cap;
	}
	if (2 * (b->nitems + 1) <= b->table_len)
		return 0;
	uint32_t *table = calloc(2u * b->table_len, sizeof(*table));
	if (!table)
		return err_nomem(err);
	free(b->table);
	b->table = table;
	b->table_len *= 2;
	for (unsigned i = 0; i < b->nitems; i++)
		*slot_of(b, b->items[i].path) = i + 1;
	return 0;
}

enum manifest_type manifest_has(const struct manifest_builder *b, const char *path)
{
	const struct item *item = find(b, path);
	return item ? item->entry.type : 0;
}

unsigned manifest_items(const struct manifest_builder *b)
{
	return b->nitems;
}

const char *manifest_item_path(
	const struct manifest_builder *b, unsigned item, enum manifest_type *ret_type)
{
	*ret_type = b->items[item].entry.type;
	return b->items[item].path;
}

void manifest_mark_whole(struct manifest_builder *b, const char *path)
{
	struct item *item = find(b, path);
	if (item)
		item->entry.flags |= MANIFEST_WHOLE;
}

bool manifest_is_whole(const struct manifest_builder *b, const char *path)
{
	const struct item *item = find(b, path);
	return item && item->entry.flags & MANIFEST_WHOLE;
}

/* --- adding --- */

static unsigned depth_of(const char *path)
{
	unsigned depth = 0;
	if (!path[1])
		return 0;
	for (; *path; path++)
		depth += *path == '/';
	return depth;
}

/* NULL: no memory */
static char *take_bytes(struct manifest_builder *b, size_t len)
{
	struct piece *piece = b->pieces;
	if (!piece || len > PIECE_BYTES - piece->used) {
		piece = malloc(sizeof(*piece)); /* not cleared: what is not used is not touched */
		if (!piece)
			return NULL;
		piece->next = b->pieces;
		piece->used = 0;
		b->pieces = piece;
	}
	char *bytes = piece->bytes + piece->used;
	piece->used += len;
	return bytes;
}

static int item_init(struct manifest_builder *b, struct item *item,
	const struct manifest_item *from, struct ramet_err *err)
{
	size_t len = strlen(from->path);
	size_t link = from->link ? strlen(from->link) : 0;
	*item = (struct item){.len = len, .depth = depth_of(from->path)};
	item->path = take_bytes(b, len + link + 2); /* at most two paths: less than a piece */
	if (!item->path)
		return err_nomem(err);
	memcpy(item->path, from->path, len + 1);
	item->link = item->path + len + 1;
	memcpy(item->link, from->link ? from->link : "", link + 1);
	item->entry = (struct manifest_entry){
		.size = from->type == MANIFEST_FILE ? from->size : link,
		.mtime_ns = from->mtime_ns,
		.mode = from->mode & 0777,
		.type = (uint8_t)from->type,
		.flags = from->flags & (uint8_t)~MANIFEST_PUBLIC,
	};
	return 0;
}

int manifest_add(
	struct manifest_builder *b, const struct manifest_item *from, struct ramet_err *err)
{
	const char *name = strrchr(from->path, '/');
	size_t link = from->link ? strlen(from->link) : 0;
	if (find(b, from->path))
		return 0;
	if (!name || strlen(name + 1) > MANIFEST_MAX_NAME ||
		depth_of(from->path) > MANIFEST_MAX_DEPTH || link >= MANIFEST_MAX_PATH ||
		strlen(from->path) >= MANIFEST_MAX_PATH ||
		(from->type == MANIFEST_FILE && from->size > MANIFEST_MAX_FILE))
		return 0; /* cannot be shown */
	size_t bytes = b->bytes + strlen(name) + link + 2;
	if (b->nitems == MANIFEST_MAX_ENTRIES ||
		bytes + (b->nitems + 2) * sizeof(struct manifest_entry) > MANIFEST_MAX_BYTES)
		return err_set(err, RAMET_ELIMIT, "more than %u files", b->nitems);
	int rc = grow(b, err);
	if (rc == 0)
		rc = item_init(b, &b->items[b->nitems], from, err);
	if (rc < 0)
		return rc;
	b->bytes = bytes;
	*slot_of(b, from->path) = ++b->nitems;
	return 0;
}

/* --- sealing --- */

/* By depth, then by path, '/' before all else: so neighbours in the list are siblings. */
static int compare(const void *left, const void *right)
{
	const struct item *a = *(struct item *const *)left;
	const struct item *b = *(struct item *const *)right;
	if (a->depth != b->depth)
		return a->depth < b->depth ? -1 : 1;
	const unsigned char *p = (const unsigned char *)a->path;
	const unsigned char *q = (const unsigned char *)b->path;
	while (*p && *p == *q)
		p++, q++;
	int x = *p == '/' ? 1 : *p ? *p + 1 : 0;
	int y = *q == '/' ? 1 : *q ? *q + 1 : 0;
	return x - y;
}

/* the sealed directory above an item, or NULL */
static struct item *parent_of(const struct manifest_builder *b, const struct item *item)
{
	char path[MANIFEST_MAX_PATH];
	size_t len = (size_t)(strrchr(item->path, '/') - item->path);
	memcpy(path, item->path, len);
	path[len] = '\0';
	struct item *parent = find(b, len ? path : "/");
	return parent && parent->entry.type == MANIFEST_DIR && parent->index != MANIFEST_NONE
		? parent
		: NULL;
}

static uint32_t put_string(struct buf *strings, const char *text)
{
	uint32_t offset = (uint32_t)strings->len;
	buf_append(strings, text, strlen(text) + 1);
	return offset;
}

/* its place under its parent; everybody's: the way to it can be gone by everybody */
static void place(struct item *item, struct item *parent, uint32_t index, bool *everybodys)
{
	struct manifest_entry *e = &item->entry;
	item->index = index;
	e->parent = parent->index;
	if (parent->entry.count++ == 0)
		parent->entry.first = index;
	bool way = everybodys[parent->index];
	everybodys[index] = way && (e->mode & 1);
	if (way && (e->mode & 4 || e->type == MANIFEST_LINK))
		e->flags |= MANIFEST_PUBLIC;
}

static int seal(struct manifest_builder *b, struct item **order, bool *everybodys, bool cut,
	struct buf *out, struct buf *strings)
{
	struct manifest_header header = {
		.magic = MANIFEST_MAGIC, .version = MANIFEST_VERSION, .cut = cut};
	uint32_t n = 1;
	(void)put_string(strings, "");
	for (unsigned i = 0; i < b->nitems; i++)
		order[i]->index = MANIFEST_NONE;
	order[0]->index = 0;
	everybodys[0] = true;
	for (unsigned i = 1; i < b->nitems; i++) {
		struct item *parent = parent_of(b, order[i]);
		if (parent)
			place(order[i], parent, n++, everybodys);
	}
	header.nentries = n;
	for (unsigned i = 0; i < b->nitems; i++) {
		struct item *item = order[i];
		if (item->index == MANIFEST_NONE)
			continue;
		if (i > 0)
			item->entry.name = put_string(strings, strrchr(item->path, '/') + 1);
		if (item->entry.type == MANIFEST_LINK)
			item->entry.link = put_string(strings, item->link);
		if (item->entry.type == MANIFEST_FILE)
			header.bytes += item->entry.size;
	}
	header.nstrings = (uint32_t)strings->len;
	buf_append(out, &header, sizeof(header));
	for (unsigned i = 0; i < b->nitems; i++)
		if (order[i]->index != MANIFEST_NONE)
			buf_append(out, &order[i]->entry, sizeof(order[i]->entry));
	buf_append(out, strings->data, strings->len);
	return out->oom || strings->oom ? RAMET_ENOMEM : 0;
}

int manifest_seal(struct manifest_builder *b, bool cut, void **ret_bytes, size_t *ret_len,
	struct ramet_err *err)
{
	CLEANUP(buf_fini) struct buf out = {0};
	CLEANUP(buf_fini) struct buf strings = {0};
	auto_free struct item **order = calloc(b->nitems, sizeof(void *));
	auto_free bool *everybodys = calloc(b->nitems, sizeof(*everybodys));
	if (!order || !everybodys)
		return err_nomem(err);
	for (unsigned i = 0; i < b->nitems; i++) {
		b->items[i].entry.first = b->items[i].entry.count = 0;
		order[i] = &b->items[i];
	}
	qsort(order, b->nitems, sizeof(void *), compare);
	if (seal(b, order, everybodys, cut, &out, &strings) < 0)
		return err_nomem(err);
	*ret_bytes = buf_steal(&out, ret_len);
	return 0;
}
