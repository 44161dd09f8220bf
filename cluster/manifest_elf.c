/* The dynamic section of ELF files and the cache of the dynamic linker, read with every offset
 * checked: the files may be a tenant's. */
#include "cluster/manifest_elf.h"

#include "base/file.h"

#include <elf.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CACHE_PATH "/etc/ld.so.cache"
#define CACHE_MAX (16u << 20)
#define CACHE_MAGIC "glibc-ld.so.cache1.1"
#define NEEDED_MAX 256
#define SEGMENTS_MAX 64
#define DYNAMIC_MAX 65536u /* bytes */
#define STRINGS_MAX (16u << 20)

struct cache_header {
	char magic[20];
	uint32_t nlibs, len_strings, unused[5];
};
struct cache_entry {
	int32_t flags;
	uint32_t key, value; /* offsets from the header */
	uint32_t osversion;
	uint64_t hwcap;
};
#define CACHE_FLAG_ELF 0x0003u
#define CACHE_FLAG_X86_64 0x0300u
#define CACHE_FLAG_AARCH64 0x0a00u

struct elf_search {
	char *cache; /* NULL: none */
	size_t len;
	const char *header; /* what offsets count from */
};

static const char *const system_dirs[] = {"/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu",
	"/lib64", "/usr/lib64", "/lib", "/usr/lib"};

/* --- the cache --- */

static const struct cache_header *cache_header(const struct elf_search *search)
{
	return (const void *)search->header;
}

/* The new format may follow the old one in the file. */
static const char *find_header(const char *cache, size_t len)
{
	const char *at = memmem(cache, len, CACHE_MAGIC, sizeof(CACHE_MAGIC) - 1);
	if (!at || (size_t)(at - cache) % 4 ||
		len - (size_t)(at - cache) < sizeof(struct cache_header))
		return NULL;
	const struct cache_header *header = (const void *)at;
	size_t rest = len - (size_t)(at - cache) - sizeof(*header);
	return header->nlibs <= rest / sizeof(struct cache_entry) ? at : NULL;
}

int elf_search_create(struct elf_search **ret_search, struct ramet_err *err)
{
	struct elf_search *search = calloc(1, sizeof(*search));
	if (!search)
		return err_nomem(err);
	if (file_read(CACHE_PATH, CACHE_MAX, &search->cache, &search->len, NULL) == 0)
		search->header = find_header(search->cache, search->len);
	*ret_search = search;
	return 0;
}

void elf_search_destroy(struct elf_search *search)
{
	if (!search)
		return;
	free(search->cache);
	free(search);
}

/* a string of the cache; the file is read with a NUL after its end */
static const char *cache_string(const struct elf_search *search, uint32_t offset)
{
	size_t base = (size_t)(search->header - search->cache);
	return offset < search->len - base ? search->header + offset : "";
}

static bool in_cache(const struct elf_search *search, const char *name, char *dst, size_t cap)
{
	if (!search->header)
		return false;
	const char *at = search->header + sizeof(struct cache_header);
	for (uint32_t i = 0; i < cache_header(search)->nlibs; i++) {
		struct cache_entry entry;
		memcpy(&entry, at + i * sizeof(entry), sizeof(entry));
		unsigned flags = (unsigned)entry.flags;
		if ((flags & 0xffu) != CACHE_FLAG_ELF || entry.hwcap ||
			((flags & 0xff00u) != CACHE_FLAG_X86_64 &&
				(flags & 0xff00u) != CACHE_FLAG_AARCH64) ||
			strcmp(cache_string(search, entry.key), name) != 0)
			continue;
		const char *value = cache_string(search, entry.value);
		return value[0] == '/' && snprintf(dst, cap, "%s", value) < (int)cap;
	}
	return false;
}

/* --- ELF --- */

/* Read piece by piece: a file that shrinks meanwhile only ends the reading. */
struct elf {
	int fd;
	const char *path;
	Elf64_Phdr segments[SEGMENTS_MAX];
	unsigned nsegments;
	char *strings; /* of the dynamic section, with a NUL after them */
	uint64_t strings_len;
};

static bool read_at(int fd, uint64_t offset, void *dst, uint64_t len)
{
	return offset <= INT64_MAX && pread(fd, dst, len, (off_t)offset) == (ssize_t)len;
}

static bool read_segments(struct elf *elf)
{
	Elf64_Ehdr header;
	if (!read_at(elf->fd, 0, &header, sizeof(header)) ||
		memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 ||
		header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_ident[EI_DATA] != ELFDATA2LSB ||
		header.e_phentsize != sizeof(Elf64_Phdr) || header.e_phnum > SEGMENTS_MAX)
		return false;
	elf->nsegments = header.e_phnum;
	return read_at(
		elf->fd, header.e_phoff, elf->segments, elf->nsegments * sizeof(elf->segments[0]));
}

/* the first segment of a type; of PT_LOAD the one that holds an address; or NULL */
static const Elf64_Phdr *segment(const struct elf *elf, uint32_t type, uint64_t address)
{
	for (unsigned i = 0; i < elf->nsegments; i++) {
		const Elf64_Phdr *s = &elf->segments[i];
		if (s->p_type == type &&
			(type != PT_LOAD ||
				(address >= s->p_vaddr && address - s->p_vaddr < s->p_filesz)))
			return s;
	}
	return NULL;
}

static const char *dynamic_string(const struct elf *elf, uint64_t offset)
{
	return offset < elf->strings_len ? elf->strings + offset : NULL;
}

struct dynamic {
	uint64_t needed[NEEDED_MAX];
	unsigned nneeded;
	uint64_t runpath; /* offset; UINT64_MAX: none */
	uint64_t strings, strings_len; /* address */
};

static void take_entry(struct dynamic *d, const Elf64_Dyn *entry)
{
	switch (entry->d_tag) {
	case DT_NEEDED:
		if (d->nneeded < NEEDED_MAX)
			d->needed[d->nneeded++] = entry->d_un.d_val;
		break;
	case DT_RPATH:
		if (d->runpath == UINT64_MAX)
			d->runpath = entry->d_un.d_val;
		break;
	case DT_RUNPATH:
		d->runpath = entry->d_un.d_val;
		break;
	case DT_STRTAB:
		d->strings = entry->d_un.d_ptr;
		break;
	case DT_STRSZ:
		d->strings_len = entry->d_un.d_val;
		break;
	default:
		break;
	}
}

static bool read_dynamic(struct elf *elf, struct dynamic *d)
{
	const Elf64_Phdr *s = segment(elf, PT_DYNAMIC, 0);
	*d = (struct dynamic){.runpath = UINT64_MAX};
	for (uint64_t i = 0; s && i < s->p_filesz && i < DYNAMIC_MAX; i += sizeof(Elf64_Dyn)) {
		Elf64_Dyn entry;
		if (!read_at(elf->fd, s->p_offset + i, &entry, sizeof(entry)))
			return false;
		if (entry.d_tag == DT_NULL)
			break;
		take_entry(d, &entry);
	}
	const Elf64_Phdr *load = segment(elf, PT_LOAD, d->strings);
	if (!load || d->strings_len == 0 || d->strings_len > STRINGS_MAX)
		return false;
	elf->strings = malloc(d->strings_len + 1);
	if (!elf->strings ||
		!read_at(elf->fd, d->strings - load->p_vaddr + load->p_offset, elf->strings,
			d->strings_len))
		return false;
	elf->strings[d->strings_len] = '\0';
	elf->strings_len = d->strings_len;
	return true;
}

/* --- finding --- */

static bool is_file(const char *dir, size_t len, const char *name, char *dst, size_t cap)
{
	struct stat st;
	int n = snprintf(dst, cap, "%.*s/%s", (int)len, dir, name);
	return n > 0 && (size_t)n < cap && dst[0] == '/' && stat(dst, &st) == 0 &&
		S_ISREG(st.st_mode);
}

/* one directory of a run path, with $ORIGIN */
static bool in_runpath(
	const struct elf *elf, const char *dir, size_t len, const char *name, char *dst, size_t cap)
{
	static const char *const origins[] = {"$ORIGIN", "${ORIGIN}"};
	char full[PATH_MAX];
	for (size_t i = 0; i < ARRAY_LEN(origins); i++) {
		size_t skip = strlen(origins[i]);
		const char *slash = strrchr(elf->path, '/');
		if (len < skip || memcmp(dir, origins[i], skip) != 0 || !slash)
			continue;
		int n = snprintf(full, sizeof(full), "%.*s%.*s", (int)(slash - elf->path),
			elf->path, (int)(len - skip), dir + skip);
		return n > 0 && n < (int)sizeof(full) && is_file(full, (size_t)n, name, dst, cap);
	}
	return is_file(dir, len, name, dst, cap);
}

static bool find_library(const struct elf_search *search, const struct elf *elf,
	const char *runpath, const char *name, char *dst, size_t cap)
{
	if (strchr(name, '/'))
		return name[0] == '/' && snprintf(dst, cap, "%s", name) < (int)cap;
	for (const char *dir = runpath; dir && *dir;) {
		size_t len = strcspn(dir, ":");
		if (in_runpath(elf, dir, len, name, dst, cap))
			return true;
		dir += len + (dir[len] == ':');
	}
	if (in_cache(search, name, dst, cap))
		return true;
	for (size_t i = 0; i < ARRAY_LEN(system_dirs); i++)
		if (is_file(system_dirs[i], strlen(system_dirs[i]), name, dst, cap))
			return true;
	return false;
}

static void tell_interpreter(
	const struct elf *elf, void (*found)(void *user, const char *library), void *user)
{
	char name[PATH_MAX];
	const Elf64_Phdr *s = segment(elf, PT_INTERP, 0);
	if (!s || s->p_filesz == 0 || s->p_filesz >= sizeof(name) ||
		!read_at(elf->fd, s->p_offset, name, s->p_filesz))
		return;
	name[s->p_filesz] = '\0';
	if (name[0] == '/')
		found(user, name);
}

void elf_needed(const struct elf_search *search, int fd, const char *path,
	void (*found)(void *user, const char *library), void *user)
{
	struct dynamic dynamic;
	char library[PATH_MAX];
	struct elf elf = {.fd = fd, .path = path};
	if (!read_segments(&elf))
		return;
	tell_interpreter(&elf, found, user);
	bool any = read_dynamic(&elf, &dynamic);
	const char *runpath =
		any && dynamic.runpath != UINT64_MAX ? dynamic_string(&elf, dynamic.runpath) : NULL;
	for (unsigned i = 0; any && i < dynamic.nneeded; i++) {
		const char *name = dynamic_string(&elf, dynamic.needed[i]);
		if (name && find_library(search, &elf, runpath, name, library, sizeof(library)))
			found(user, library);
	}
	free(elf.strings);
}
