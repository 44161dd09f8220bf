/* Manifests: what is collected, what a sealed one says, and that nothing malformed gets in. */
#include "base/cleanup.h"
#include "base/file.h"
#include "base/hash.h"
#include "cluster/manifest_collect.h"
#include "runtime/files/manifest.h"
#include "tests/lib/suite.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TENANT 4321

static char dir[64]; /* not in /tmp, which is left out */

static const char *at(const char *name)
{
	static char path[4][256];
	static unsigned next;
	next = (next + 1) % 4;
	snprintf(path[next], sizeof(path[next]), "%s/%s", dir, name);
	return path[next];
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}

static bool write_file(const char *name, const char *text, mode_t mode)
{
	return file_replace(at(name), text, strlen(text), mode, NULL) == 0;
}

static void make_tree(void)
{
	snprintf(dir, sizeof(dir), "/var/tmp/ramet-manifest-XXXXXX");
	REQUIRE(mkdtemp(dir) && chmod(dir, 0755) == 0);
	REQUIRE(mkdir(at("lib"), 0755) == 0 && mkdir(at("lib/closed"), 0700) == 0);
	REQUIRE(mkdir(at("data"), 0755) == 0 && mkdir(at("other"), 0755) == 0);
	REQUIRE(write_file("lib/a.py", "a = 1\n", 0644) && write_file("lib/b.py", "b\n", 0600));
	REQUIRE(write_file("lib/closed/c.py", "c\n", 0644) && write_file("data/d", "data", 0644));
	REQUIRE(write_file("other/o", "o", 0644));
	REQUIRE(symlink("../data", at("lib/d")) == 0 && symlink("a.py", at("lib/l.py")) == 0);
	REQUIRE(symlink("nowhere", at("lib/dangling")) == 0 && symlink(".", at("lib/loop")) == 0);
	REQUIRE(symlink(at("lib"), at("way")) == 0);
}

static void remove_tree(void)
{
	nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

struct sealed {
	void *bytes;
	size_t len;
	struct manifest m;
};

static void sealed_fini(struct sealed *s)
{
	free(s->bytes);
}

static void collect(const char *root, uid_t uid, struct sealed *s)
{
	struct ramet_err err = {0};
	const struct collect what = {.uid = uid, .gid = uid, .roots = &root, .nroots = 1};
	REQUIRE_OK(manifest_collect(&what, &s->bytes, &s->len, &err), &err);
	REQUIRE_OK(manifest_open(s->bytes, s->len, &s->m, &err), &err);
	CHECK_INT(manifest_len(&s->m), s->len);
}

static const struct manifest_entry *entry(const struct sealed *s, const char *path)
{
	static const struct manifest_entry none;
	uint32_t i = manifest_find(&s->m, path);
	return i == MANIFEST_NONE ? &none : &s->m.entries[i];
}

/* by a root that is itself a link */
static void test_what_is_collected(void)
{
	make_tree();
	CLEANUP(sealed_fini) struct sealed s = {0};
	collect(at("way"), geteuid(), &s);
	CHECK_INT(entry(&s, at("way"))->type, MANIFEST_LINK);
	CHECK_INT(entry(&s, at("lib"))->type, MANIFEST_DIR);
	CHECK(entry(&s, at("lib"))->flags & MANIFEST_WHOLE);
	CHECK(!(entry(&s, dir)->flags & MANIFEST_WHOLE)); /* only passed through */
	CHECK_INT(entry(&s, at("lib/a.py"))->type, MANIFEST_FILE);
	CHECK_INT(entry(&s, at("lib/a.py"))->size, 6);
	CHECK_INT(entry(&s, at("lib/a.py"))->mode, 0644);
	CHECK(entry(&s, at("lib/a.py"))->flags & MANIFEST_PUBLIC);
	CHECK(!(entry(&s, at("lib/b.py"))->flags & MANIFEST_PUBLIC));
	CHECK(!(entry(&s, at("lib/closed/c.py"))->flags & MANIFEST_PUBLIC)); /* its way is closed */
	CHECK_STR(s.m.strings + entry(&s, at("lib/l.py"))->link, "a.py");
	CHECK_INT(entry(&s, at("lib/dangling"))->type, MANIFEST_LINK);
	CHECK_INT(entry(&s, at("data/d"))->type, MANIFEST_FILE); /* a link led there */
	CHECK_INT(manifest_find(&s.m, at("other")), MANIFEST_NONE);
	CHECK_INT(s.m.header->cut, 0);
	remove_tree();
}

static void test_a_path_leads_back(void)
{
	make_tree();
	CLEANUP(sealed_fini) struct sealed s = {0};
	char path[MANIFEST_MAX_PATH];
	collect(at("lib"), geteuid(), &s);
	for (uint32_t i = 0; i < s.m.header->nentries; i++) {
		REQUIRE(manifest_path(&s.m, i, path, sizeof(path)) == 0);
		CHECK_INT(manifest_find(&s.m, path), i);
	}
	CHECK_INT(manifest_path(&s.m, manifest_find(&s.m, at("lib")), path, 8), RAMET_ELIMIT);
	remove_tree();
}

/* what the tenant's process asks for is looked at with the tenant's rights */
static void test_what_a_tenant_may_not_read(void)
{
	if (geteuid() != 0) {
		suite_skip("needs root");
		return;
	}
	make_tree();
	CLEANUP(sealed_fini) struct sealed s = {0};
	CLEANUP(sealed_fini) struct sealed shadow = {0};
	struct sha256 sum;
	collect(at("lib"), TENANT, &s);
	CHECK_INT(entry(&s, at("lib/a.py"))->type, MANIFEST_FILE);
	CHECK_INT(manifest_find(&s.m, at("lib/b.py")), MANIFEST_NONE);
	CHECK_INT(manifest_find(&s.m, at("lib/closed/c.py")), MANIFEST_NONE);
	collect("/etc/shadow", TENANT, &shadow);
	CHECK_INT(manifest_find(&shadow.m, "/etc/shadow"), MANIFEST_NONE);
	uint32_t a = manifest_find(&s.m, at("lib/a.py"));
	CHECK_INT(manifest_hash(&s.m, a, TENANT, TENANT, &sum), 0);
	REQUIRE(unlink(at("lib/a.py")) == 0 && symlink("/etc/shadow", at("lib/a.py")) == 0);
	CHECK_INT(manifest_hash(&s.m, a, TENANT, TENANT, &sum), -1); /* it leads elsewhere now */
	CHECK_INT(geteuid(), 0);
	remove_tree();
}

static void test_what_a_library_needs(void)
{
	CLEANUP(sealed_fini) struct sealed s = {0};
	collect("/bin/sh", geteuid(), &s);
	bool libc = false, loader = false;
	for (uint32_t i = 0; i < s.m.header->nentries; i++) {
		const char *name = manifest_name(&s.m, &s.m.entries[i]);
		libc |= strcmp(name, "libc.so.6") == 0;
		loader |= strncmp(name, "ld-linux", 8) == 0;
	}
	CHECK(libc);
	CHECK(loader);
}

struct compared {
	struct lacking lacking;
	uint8_t bytes[2][256];
};

static void compare(const struct sealed *s, struct compared *ret)
{
	*ret = (struct compared){0};
	REQUIRE(s->m.header->nentries <= 256);
	ret->lacking.lacking = ret->bytes[0];
	ret->lacking.unsure = ret->bytes[1];
	manifest_compare(&s->m, geteuid(), getegid(), &ret->lacking);
}

static void test_comparing_with_what_is_here(void)
{
	make_tree();
	CLEANUP(sealed_fini) struct sealed s = {0};
	struct compared c;
	collect(at("lib"), geteuid(), &s);
	compare(&s, &c);
	CHECK_INT(c.lacking.nlacking + c.lacking.nunsure, 0);
	uint32_t a = manifest_find(&s.m, at("lib/a.py")), b = manifest_find(&s.m, at("lib/b.py"));
	uint32_t l = manifest_find(&s.m, at("lib/l.py"));
	struct sha256 sum;
	REQUIRE(manifest_hash(&s.m, a, geteuid(), getegid(), &sum) == 0);
	REQUIRE(write_file("lib/a.py", "a = 1\n", 0644) && unlink(at("lib/b.py")) == 0);
	REQUIRE(unlink(at("lib/l.py")) == 0 && symlink("b.py", at("lib/l.py")) == 0);
	compare(&s, &c);
	CHECK_INT(c.lacking.nlacking, 2);
	CHECK_INT(c.lacking.nunsure, 1);
	CHECK(c.bytes[1][a] && c.bytes[0][b] && c.bytes[0][l]);
	int same = manifest_open_same(&s.m, a, geteuid(), getegid(), &sum);
	CHECK(same >= 0);
	close(same);
	CHECK_INT(manifest_open_same(&s.m, a, geteuid(), getegid(), NULL), -1); /* written later */
	REQUIRE(write_file("lib/a.py", "a = 2\n", 0644));
	CHECK_INT(manifest_open_same(&s.m, a, geteuid(), getegid(), &sum), -1);
	remove_tree();
}

/* walks all that an accepted manifest says */
static void use(const struct manifest *m)
{
	char path[MANIFEST_MAX_PATH];
	for (uint32_t i = 0; i < m->header->nentries; i++) {
		const struct manifest_entry *e = &m->entries[i];
		REQUIRE(manifest_child(m, e->parent, manifest_name(m, e)) == i || i == 0);
		(void)manifest_path(m, i, path, sizeof(path));
		if (e->type == MANIFEST_LINK)
			CHECK_INT(strlen(m->strings + e->link), e->size);
	}
}

static void test_malformed_ones(void)
{
	make_tree();
	CLEANUP(sealed_fini) struct sealed s = {0};
	struct ramet_err err = {0};
	struct manifest m;
	unsigned refused = 0;
	collect(at("lib"), geteuid(), &s);
	auto_free unsigned char *copy = malloc(s.len);
	REQUIRE(copy != NULL);
	for (size_t i = 0; i < s.len; i++) {
		memcpy(copy, s.bytes, s.len);
		copy[i] ^= (unsigned char)(1u << i % 8);
		if (manifest_open(copy, s.len, &m, &err) == 0)
			use(&m); /* another name, time or mode */
		else
			refused++;
	}
	CHECK(refused > s.len / 4);
	for (size_t len = 0; len < s.len; len += 7)
		CHECK(manifest_open(s.bytes, len, &m, &err) < 0);
	remove_tree();
}

static void test_too_much_is_cut(void)
{
	AUTO(manifest_builder_destroy) struct manifest_builder *b = NULL;
	struct ramet_err err = {0};
	char path[64];
	int rc = 0;
	REQUIRE_OK(manifest_builder_create(&b, &err), &err);
	struct manifest_item item = {.path = path, .type = MANIFEST_FILE, .mode = 0644};
	for (unsigned i = 0; rc == 0 && i <= MANIFEST_MAX_ENTRIES; i++) {
		snprintf(path, sizeof(path), "/f%u", i);
		rc = manifest_add(b, &item, &err);
	}
	CHECK_INT(rc, RAMET_ELIMIT);
	CLEANUP(sealed_fini) struct sealed s = {0};
	REQUIRE_OK(manifest_seal(b, true, &s.bytes, &s.len, &err), &err);
	REQUIRE_OK(manifest_open(s.bytes, s.len, &s.m, &err), &err);
	CHECK_INT(s.m.header->nentries, MANIFEST_MAX_ENTRIES);
	CHECK_INT(s.m.header->cut, 1);
}

SUITE_MAIN("manifest", TEST(test_what_is_collected), TEST(test_a_path_leads_back),
	TEST(test_what_a_tenant_may_not_read), TEST(test_what_a_library_needs),
	TEST(test_comparing_with_what_is_here), TEST(test_malformed_ones),
	TEST(test_too_much_is_cut))
