/* The manifest of a seed: the files that its app may open later, as a tree of names with their
 * attributes. What is in them is told later, by SHA-256, for those that a node lacks. Flat, so that
 * it travels as one message and is used where it lies: by rametd, and by ramet-files, which shows
 * it as a file system. A view is made only of bytes that manifest_open() has checked: every index,
 * offset, order and name. */
#ifndef RUNTIME_FILES_MANIFEST_H
#define RUNTIME_FILES_MANIFEST_H

#include "base/cleanup.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MANIFEST_MAGIC "RAMETMF"
#define MANIFEST_VERSION 1u
#define MANIFEST_MAX_BYTES (32u << 20)
#define MANIFEST_MAX_ENTRIES 131072u
#define MANIFEST_MAX_DEPTH 64u
#define MANIFEST_MAX_NAME 255u
#define MANIFEST_MAX_PATH 4096u
#define MANIFEST_MAX_FILE (1ull << 32) /* bytes of one file */
#define MANIFEST_NONE UINT32_MAX

enum manifest_type { MANIFEST_DIR = 1, MANIFEST_FILE = 2, MANIFEST_LINK = 3 };

enum manifest_flag {
	MANIFEST_PUBLIC = 1, /* everybody may read it where it comes from, all of its path too */
	MANIFEST_OWNED = 2, /* belongs to the tenant; else to root */
	MANIFEST_GROUP = 4, /* its group is the tenant's; else root's */
	MANIFEST_WHOLE = 8, /* a directory of which every entry is named */
};
#define MANIFEST_FLAGS 15u

/* The root is entry 0. Parents precede their children; the children of a directory are
 * neighbours, in the order of their names' bytes. */
struct manifest_entry {
	uint64_t size; /* files; of a link the length of its target */
	int64_t mtime_ns;
	uint32_t parent; /* of the root: 0 */
	uint32_t name; /* offset into strings; of the root "" */
	uint32_t link; /* links: offset of the target */
	uint32_t first, count; /* directories: their children */
	uint16_t mode; /* permission bits, no set-uid, set-gid or sticky bit */
	uint8_t type; /* enum manifest_type */
	uint8_t flags; /* enum manifest_flag */
};

struct manifest_header {
	char magic[8];
	uint32_t version;
	uint32_t nentries;
	uint32_t nstrings; /* bytes, behind the entries; the last is NUL */
	uint32_t cut; /* not 0: there were more than fit */
	uint64_t bytes; /* of all files together */
};

struct manifest {
	const struct manifest_header *header;
	const struct manifest_entry *entries;
	const char *strings;
};

/* manifest_open - check bytes and point into them; they are 8-byte aligned and outlive *ret.
 * RAMET_EPROTO, RAMET_EVERSION. */
int manifest_open(const void *bytes, size_t len, struct manifest *ret, struct ramet_err *err);
/* manifest_view - the same of bytes that were opened before, or are equal to such */
void manifest_view(const void *bytes, struct manifest *ret);
size_t manifest_len(const struct manifest *manifest); /* bytes of all of it */
static inline const char *manifest_name(const struct manifest *m, const struct manifest_entry *e)
{
	return m->strings + e->name;
}
/* the child of a directory, or MANIFEST_NONE */
uint32_t manifest_child(const struct manifest *m, uint32_t dir, const char *name);
/* the entry of an absolute path, links not followed, or MANIFEST_NONE */
uint32_t manifest_find(const struct manifest *m, const char *path);
/* the absolute path of an entry; RAMET_ELIMIT: it does not fit */
int manifest_path(const struct manifest *m, uint32_t entry, char *dst, size_t cap);

/* --- making one --- */

struct manifest_builder;

struct manifest_item {
	const char
		*path; /* absolute, without ".", "..", empty components or links before its end */
	enum manifest_type type;
	uint16_t mode;
	uint8_t flags; /* OWNED, GROUP, WHOLE */
	uint64_t size;
	int64_t mtime_ns;
	const char *link;
};

int manifest_builder_create(struct manifest_builder **ret_builder, struct ramet_err *err);
void manifest_builder_destroy(struct manifest_builder *builder); /* NULL is fine */
DEFINE_CLEANUP(struct manifest_builder, manifest_builder_destroy)
/* manifest_add - what is there already stays; its parents must be added too, in any order.
 * RAMET_ELIMIT: the manifest is full. */
int manifest_add(
	struct manifest_builder *builder, const struct manifest_item *item, struct ramet_err *err);
/* what a path was added as, or 0 */
enum manifest_type manifest_has(const struct manifest_builder *builder, const char *path);
/* the number of items, and each in the order in which it was added; good until the next is added */
unsigned manifest_items(const struct manifest_builder *builder);
const char *manifest_item_path(
	const struct manifest_builder *builder, unsigned item, enum manifest_type *ret_type);
void manifest_mark_whole(struct manifest_builder *builder, const char *path);
bool manifest_is_whole(const struct manifest_builder *builder, const char *path);
/* manifest_seal - the bytes, to be freed. What has no directory above it, or one that is a file, is
 * left out. Says which entries are public. */
int manifest_seal(struct manifest_builder *builder, bool cut, void **ret_bytes, size_t *ret_len,
	struct ramet_err *err);

#endif
