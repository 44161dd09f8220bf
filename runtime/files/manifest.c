/* Reading manifests: see manifest.h. */
#include "runtime/files/manifest.h"

#include <stdio.h>
#include <string.h>

static int wrong(struct ramet_err *err, uint32_t entry, const char *what)
{
	return err_set(err, RAMET_EPROTO, "manifest: entry %u: %s", entry, what);
}

/* a string that ends within the strings, or NULL */
static const char *string_at(const struct manifest *m, uint32_t offset)
{
	return offset < m->header->nstrings ? m->strings + offset : NULL;
}

static bool name_valid(const char *name)
{
	size_t len = strnlen(name, MANIFEST_MAX_NAME + 1);
	return len > 0 && len <= MANIFEST_MAX_NAME && !strchr(name, '/') &&
		strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

static int check_header(const void *bytes, size_t len, struct manifest *m, struct ramet_err *err)
{
	const struct manifest_header *header = bytes;
	if (len < sizeof(*header) || len > MANIFEST_MAX_BYTES ||
		memcmp(header->magic, MANIFEST_MAGIC, sizeof(header->magic)) != 0)
		return err_set(err, RAMET_EPROTO, "this is no manifest");
	if (header->version != MANIFEST_VERSION)
		return err_set(err, RAMET_EVERSION, "manifest of version %u: %u is understood",
			header->version, MANIFEST_VERSION);
	if (header->nentries == 0 || header->nentries > MANIFEST_MAX_ENTRIES ||
		len - sizeof(*header) < header->nentries * sizeof(struct manifest_entry))
		return err_set(err, RAMET_EPROTO, "manifest: %u entries in %zu bytes",
			header->nentries, len);
	m->header = header;
	m->entries = (const void *)(header + 1);
	m->strings = (const char *)(m->entries + header->nentries);
	size_t rest = len - (size_t)(m->strings - (const char *)bytes);
	if (header->nstrings == 0 || rest != header->nstrings || m->strings[rest - 1])
		return err_set(err, RAMET_EPROTO, "manifest: %u bytes of strings in %zu",
			header->nstrings, rest);
	return 0;
}

static int check_type(const struct manifest *m, uint32_t i, struct ramet_err *err)
{
	const struct manifest_entry *e = &m->entries[i];
	const char *link = string_at(m, e->link);
	if (e->flags & ~MANIFEST_FLAGS || e->mode & ~0777u)
		return wrong(err, i, "unknown flags");
	switch (e->type) {
	case MANIFEST_DIR:
		return e->size || e->link ? wrong(err, i, "a directory with a size") : 0;
	case MANIFEST_FILE:
		if (e->count || e->link || e->size > MANIFEST_MAX_FILE)
			return wrong(err, i, "no file");
		return 0;
	case MANIFEST_LINK:
		if (e->count || !link || !link[0] || strlen(link) >= MANIFEST_MAX_PATH ||
			e->size != strlen(link))
			return wrong(err, i, "no link");
		return 0;
	default:
		return wrong(err, i, "unknown type");
	}
}

/* that its children are its own, neighbours, and in order; *io_next: where the next ones begin */
static int check_children(
	const struct manifest *m, uint32_t i, uint32_t *io_next, struct ramet_err *err)
{
	const struct manifest_entry *e = &m->entries[i];
	if (e->count == 0)
		return e->first == 0 ? 0 : wrong(err, i, "no children, at a place");
	if (e->first != *io_next || e->first <= i || e->count > m->header->nentries - e->first)
		return wrong(err, i, "children at another place");
	const char *before = "";
	for (uint32_t k = e->first; k < e->first + e->count; k++) {
		const char *name = string_at(m, m->entries[k].name);
		if (m->entries[k].parent != i || !name || !name_valid(name) ||
			strcmp(before, name) >= 0)
			return wrong(err, k, "not in its place");
		before = name;
	}
	*io_next = e->first + e->count;
	return 0;
}

static unsigned depth_of(const struct manifest *m, uint32_t i)
{
	unsigned depth = 0;
	for (; i && depth <= MANIFEST_MAX_DEPTH; i = m->entries[i].parent)
		depth++;
	return depth;
}

int manifest_open(const void *bytes, size_t len, struct manifest *ret, struct ramet_err *err)
{
	struct manifest m;
	int rc = check_header(bytes, len, &m, err);
	if (rc < 0)
		return rc;
	const struct manifest_entry *root = &m.entries[0];
	const char *name = string_at(&m, root->name);
	if (root->type != MANIFEST_DIR || root->parent != 0 || !name || name[0])
		return wrong(err, 0, "no root");
	uint32_t next = 1;
	for (uint32_t i = 0; i < m.header->nentries; i++) {
		rc = check_type(&m, i, err);
		if (rc == 0)
			rc = check_children(&m, i, &next, err);
		/* parents were checked before: the way up ends at the root */
		if (rc == 0 && i >= next)
			rc = wrong(err, i, "nobody's child");
		if (rc == 0 && depth_of(&m, i) > MANIFEST_MAX_DEPTH)
			rc = wrong(err, i, "too deep");
		if (rc < 0)
			return rc;
	}
	*ret = m;
	return 0;
}

void manifest_view(const void *bytes, struct manifest *ret)
{
	ret->header = bytes;
	ret->entries = (const struct manifest_entry *)(ret->header + 1);
	ret->strings = (const char *)(ret->entries + ret->header->nentries);
}

size_t manifest_len(const struct manifest *m)
{
	return sizeof(*m->header) + m->header->nentries * sizeof(*m->entries) + m->header->nstrings;
}

uint32_t manifest_child(const struct manifest *m, uint32_t dir, const char *name)
{
	const struct manifest_entry *e = &m->entries[dir];
	uint32_t low = e->first, high = e->first + e->count;
	while (low < high) {
		uint32_t mid = low + (high - low) / 2;
		int order = strcmp(name, manifest_name(m, &m->entries[mid]));
		if (order == 0)
			return mid;
		if (order < 0)
			high = mid;
		else
			low = mid + 1;
	}
	return MANIFEST_NONE;
}

uint32_t manifest_find(const struct manifest *m, const char *path)
{
	uint32_t at = 0;
	while (*path == '/')
		path++;
	while (*path && at != MANIFEST_NONE) {
		char name[MANIFEST_MAX_NAME + 1];
		size_t len = strcspn(path, "/");
		if (len > MANIFEST_MAX_NAME)
			return MANIFEST_NONE;
		memcpy(name, path, len);
		name[len] = '\0';
		at = manifest_child(m, at, name);
		path += len;
		while (*path == '/')
			path++;
	}
	return at;
}

int manifest_path(const struct manifest *m, uint32_t entry, char *dst, size_t cap)
{
	uint32_t way[MANIFEST_MAX_DEPTH];
	unsigned depth = 0;
	for (uint32_t i = entry; i; i = m->entries[i].parent)
		way[depth++] = i;
	size_t len = 0;
	if (cap < 2)
		return RAMET_ELIMIT;
	memcpy(dst, "/", 2);
	while (depth > 0) {
		const char *name = manifest_name(m, &m->entries[way[--depth]]);
		int n = snprintf(dst + len, cap - len, "/%s", name);
		if (n < 0 || (size_t)n >= cap - len)
			return RAMET_ELIMIT;
		len += (size_t)n;
	}
	return 0;
}
