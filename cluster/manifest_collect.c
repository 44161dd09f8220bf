/* Finding the files of a manifest: see manifest_collect.h. Links are followed one by one, so that
 * each that is on the way becomes an entry of its own, and all paths are those of real directories.
 */
#include "cluster/manifest_collect.h"

#include "base/cancel.h"
#include "base/cleanup.h"
#include "base/hash.h"
#include "cluster/manifest_elf.h"
#include "runtime/files/manifest.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LINKS_MAX 40 /* on the way to one file, as in the kernel */
#define DIR_DEPTH_MIN 3 /* a link to a directory above that is not followed into it */

struct collector {
	const struct collect *what;
	struct manifest_builder *builder;
	struct elf_search *search;
	uint64_t bytes;
	bool cut;
	struct ramet_err err; /* out of memory */
};

/* --- the tenant's rights --- */

/* What the tenant names is looked at as the tenant. Of the calling thread only: the C library's
 * setgroups() would change all threads. */
static void become(uid_t uid, gid_t gid)
{
	if (geteuid() != 0)
		return;
	(void)syscall(SYS_setgroups, 0, NULL); /* for good: nothing here needs any */
	setfsgid(gid);
	setfsuid(uid);
}

static void come_back(void)
{
	setfsuid(geteuid());
	setfsgid(getegid());
}

static bool may_read(const struct collect *what, const struct stat *st)
{
	unsigned shift = st->st_uid == what->uid ? 6 : st->st_gid == what->gid ? 3 : 0;
	return what->uid == 0 || (st->st_mode >> shift & 4);
}

/* --- adding --- */

static bool below(const char *path, const char *dir)
{
	size_t len = strlen(dir);
	return strncmp(path, dir, len) == 0 && (!path[len] || path[len] == '/');
}

static bool left_out(const struct collect *what, const char *path)
{
	static const char *const dirs[] = {"/proc", "/sys", "/dev", "/run", "/tmp", "/ramet"};
	for (size_t i = 0; i < ARRAY_LEN(dirs); i++)
		if (below(path, dirs[i]))
			return true;
	return what->store_dir && below(path, what->store_dir);
}

static int64_t mtime_of(const struct stat *st)
{
	return (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec;
}

static uint8_t flags_of(const struct collect *what, const struct stat *st)
{
	return (uint8_t)((st->st_uid == what->uid ? MANIFEST_OWNED : 0) |
		(st->st_gid == what->gid ? MANIFEST_GROUP : 0));
}

static void add(struct collector *c, const char *path, const struct stat *st, const char *link)
{
	struct manifest_item item = {
		.path = path,
		.mode = (uint16_t)(st->st_mode & 0777),
		.flags = flags_of(c->what, st),
		.mtime_ns = mtime_of(st),
		.link = link,
	};
	item.type = link ? MANIFEST_LINK : S_ISDIR(st->st_mode) ? MANIFEST_DIR : MANIFEST_FILE;
	if (item.type == MANIFEST_FILE) {
		item.size = (uint64_t)st->st_size;
		if (!may_read(c->what, st))
			return;
		if (item.size > COLLECT_MAX_BYTES - c->bytes) {
			c->cut = true;
			return;
		}
		c->bytes += item.size;
	}
	int rc = manifest_add(c->builder, &item, &c->err);
	if (rc == RAMET_ELIMIT) {
		c->cut = true;
		c->err.code = 0;
	}
}

/* --- following a path --- */

/* *path to its parent directory */
static void up(char *path)
{
	char *slash = strrchr(path, '/');
	if (slash)
		*slash = '\0';
}

/* what a link leads to, with what follows it, becomes what is left to go */
static bool expand(const char *link, char *at, char *left, size_t cap)
{
	char next[2 * PATH_MAX];
	int n = snprintf(next, sizeof(next), "%s/%s", link, left);
	if (n < 0 || (size_t)n >= cap)
		return false;
	memcpy(left, next, (size_t)n + 1);
	if (link[0] == '/')
		at[0] = '\0';
	return true;
}

static bool read_link(const char *path, char *dst, size_t cap)
{
	ssize_t n = readlink(path, dst, cap - 1);
	if (n <= 0 || (size_t)n >= cap - 1)
		return false;
	dst[n] = '\0';
	return true;
}

/* Adds all that is met on the way. ret_path: where it ends, at a file or directory that is an entry
 * now; false: it leads nowhere, or where we do not look. */
static bool follow(struct collector *c, const char *path, char ret_path[PATH_MAX])
{
	char at[PATH_MAX] = "", left[PATH_MAX], link[PATH_MAX];
	unsigned links = 0;
	if (path[0] != '/' || snprintf(left, sizeof(left), "%s", path) >= (int)sizeof(left))
		return false;
	while (left[0]) {
		struct stat st;
		char *rest = left;
		size_t len = strcspn(left, "/");
		char name[NAME_MAX + 1];
		if (len > NAME_MAX)
			return false;
		memcpy(name, left, len);
		name[len] = '\0';
		rest += len + strspn(left + len, "/");
		memmove(left, rest, strlen(rest) + 1);
		if (!name[0] || strcmp(name, ".") == 0)
			continue;
		if (strcmp(name, "..") == 0) {
			up(at);
			continue;
		}
		size_t before = strlen(at);
		if (before + len + 2 > sizeof(at))
			return false;
		snprintf(at + before, sizeof(at) - before, "/%s", name);
		if (left_out(c->what, at) || lstat(at, &st) < 0)
			return false;
		if (S_ISLNK(st.st_mode)) {
			if (++links > LINKS_MAX || !read_link(at, link, sizeof(link)))
				return false;
			add(c, at, &st, link);
			up(at);
			if (!expand(link, at, left, sizeof(left)))
				return false;
		} else if (S_ISDIR(st.st_mode) || (S_ISREG(st.st_mode) && !left[0])) {
			add(c, at, &st, NULL);
		} else {
			return false;
		}
	}
	memcpy(ret_path, at[0] ? at : "/", strlen(at[0] ? at : "/") + 1);
	return true;
}

/* --- whole directories --- */

static unsigned depth_of(const char *path)
{
	unsigned depth = 0;
	for (; *path; path++)
		depth += *path == '/';
	return depth;
}

static void walk(struct collector *c, const char *dir, unsigned depth);

static bool given_up(struct collector *c)
{
	if (cancel_asked() && c->err.code == 0)
		err_set(&c->err, RAMET_ECANCELED, "given up: this node ends");
	return c->err.code != 0;
}

/* what a link inside a directory leads to comes along */
static void take_target(struct collector *c, const char *path, unsigned depth)
{
	char real[PATH_MAX];
	if (follow(c, path, real) && manifest_has(c->builder, real) == MANIFEST_DIR &&
		depth_of(real) >= DIR_DEPTH_MIN)
		walk(c, real, depth + 1);
}

static void take_entry(struct collector *c, const char *dir, const char *name, unsigned depth)
{
	char path[PATH_MAX];
	struct stat st;
	if (snprintf(path, sizeof(path), "%s/%s", dir, name) >= (int)sizeof(path) ||
		left_out(c->what, path) || lstat(path, &st) < 0)
		return;
	if (S_ISLNK(st.st_mode)) {
		take_target(c, path, depth);
	} else if (S_ISDIR(st.st_mode)) {
		add(c, path, &st, NULL);
		walk(c, path, depth + 1);
	} else if (S_ISREG(st.st_mode)) {
		add(c, path, &st, NULL);
	}
}

/* A directory that is an entry already. Each is read once. What the tenant cannot read in it does
 * not exist elsewhere. */
static void walk(struct collector *c, const char *dir, unsigned depth)
{
	if (depth > MANIFEST_MAX_DEPTH || c->cut || c->err.code ||
		manifest_is_whole(c->builder, dir))
		return;
	auto_closedir DIR *d = opendir(dir);
	if (!d)
		return;
	manifest_mark_whole(c->builder, dir);
	for (const struct dirent *e = readdir(d); e && !given_up(c); e = readdir(d))
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			take_entry(c, dir, e->d_name, depth);
}

static void take_root(struct collector *c, const char *path)
{
	char real[PATH_MAX];
	if (follow(c, path, real) && manifest_has(c->builder, real) == MANIFEST_DIR &&
		depth_of(real) >= 2)
		walk(c, real, 0);
}

/* --- shared libraries --- */

static void on_library(void *user, const char *library)
{
	char real[PATH_MAX];
	(void)follow(user, library, real);
}

/* also of those that are found meanwhile */
static void take_libraries(struct collector *c)
{
	for (unsigned i = 0; i < manifest_items(c->builder) && !given_up(c); i++) {
		char path[PATH_MAX];
		enum manifest_type type;
		const char *of = manifest_item_path(c->builder, i, &type);
		const char *name = strrchr(of, '/');
		bool library =
			type == MANIFEST_FILE && (strstr(name, ".so") || strstr(of, "/bin/"));
		if (!library || snprintf(path, sizeof(path), "%s", of) >= (int)sizeof(path))
			continue;
		auto_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
		if (fd >= 0)
			elf_needed(c->search, fd, path, on_library, c);
	}
}

int manifest_collect(
	const struct collect *what, void **ret_bytes, size_t *ret_len, struct ramet_err *err)
{
	AUTO(manifest_builder_destroy) struct manifest_builder *builder = NULL;
	AUTO(elf_search_destroy) struct elf_search *search = NULL;
	int rc = manifest_builder_create(&builder, err);
	if (rc == 0)
		rc = elf_search_create(&search, err);
	if (rc < 0)
		return rc;
	struct collector c = {.what = what, .builder = builder, .search = search};
	become(what->uid, what->gid);
	for (unsigned i = 0; i < what->nroots && i < COLLECT_MAX_ROOTS; i++)
		take_root(&c, what->roots[i]);
	take_libraries(&c);
	come_back();
	if (c.err.code) {
		err_copy(err, &c.err);
		return err->code;
	}
	return manifest_seal(
		builder, c.cut || what->nroots > COLLECT_MAX_ROOTS, ret_bytes, ret_len, err);
}

/* --- hashing and comparing --- */

static bool same_by_stat(const struct manifest_entry *e, const struct stat *st)
{
	return S_ISREG(st->st_mode) && (uint64_t)st->st_size == e->size &&
		mtime_of(st) == e->mtime_ns;
}

static int open_entry(const struct manifest *m, uint32_t i, struct stat *st)
{
	char path[MANIFEST_MAX_PATH];
	if (manifest_path(m, i, path, sizeof(path)) < 0)
		return -1;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | O_NOFOLLOW);
	if (fd >= 0 && (fstat(fd, st) < 0 || !S_ISREG(st->st_mode)))
		close_reset(&fd);
	return fd;
}

int manifest_hash(
	const struct manifest *m, uint32_t entry, uid_t uid, gid_t gid, struct sha256 *ret)
{
	struct stat st;
	become(uid, gid);
	auto_close int fd = open_entry(m, entry, &st);
	come_back();
	if (fd < 0 || !same_by_stat(&m->entries[entry], &st))
		return -1;
	return sha256_fd(fd, ret, NULL) == 0 ? 0 : -1;
}

static bool same_link(const char *path, const char *target)
{
	char link[PATH_MAX];
	return read_link(path, link, sizeof(link)) && strcmp(link, target) == 0;
}

static void compare_one(const struct manifest *m, uint32_t i, struct lacking *ret)
{
	const struct manifest_entry *e = &m->entries[i];
	char path[MANIFEST_MAX_PATH];
	struct stat st;
	bool there = manifest_path(m, i, path, sizeof(path)) == 0 && lstat(path, &st) == 0;
	bool same = there;
	if (there && e->type == MANIFEST_DIR)
		same = S_ISDIR(st.st_mode);
	else if (there && e->type == MANIFEST_LINK)
		same = S_ISLNK(st.st_mode) && same_link(path, m->strings + e->link);
	else if (there)
		same = S_ISREG(st.st_mode) && (uint64_t)st.st_size == e->size;
	if (!same) {
		ret->lacking[i] = 1;
		ret->nlacking++;
	} else if (e->type == MANIFEST_FILE && !same_by_stat(e, &st)) {
		ret->unsure[i] = 1;
		ret->nunsure++;
	}
}

void manifest_compare(const struct manifest *m, uid_t uid, gid_t gid, struct lacking *ret)
{
	become(uid, gid);
	for (uint32_t i = 1; i < m->header->nentries && !cancel_asked(); i++)
		compare_one(m, i, ret);
	come_back();
}

int manifest_open_same(
	const struct manifest *m, uint32_t i, uid_t uid, gid_t gid, const struct sha256 *sha256)
{
	const struct manifest_entry *e = &m->entries[i];
	struct stat st;
	struct sha256 sum;
	become(uid, gid);
	int fd = open_entry(m, i, &st);
	come_back();
	if (fd < 0)
		return -1;
	bool same = sha256 ? (uint64_t)st.st_size == e->size && sha256_fd(fd, &sum, NULL) == 0 &&
			memcmp(&sum, sha256, sizeof(sum)) == 0
			   : same_by_stat(e, &st);
	if (!same)
		close_reset(&fd);
	return fd;
}
