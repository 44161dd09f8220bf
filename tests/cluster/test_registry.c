/* The registry: tenants, newer over older, news between nodes in any order, removals that stay
 * removed. */
#include "base/cleanup.h"
#include "cluster/registry.h"
#include "tests/cluster/deploy_message.h"
#include "tests/lib/suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* what a registry told its handler */
struct told {
	unsigned changes;
	char unused[8][VERSION_HEX + 1];
	unsigned nunused;
	unsigned forgotten;
};

static void on_change(void *user, const struct registry_entry *entry, struct app_version *old)
{
	((struct told *)user)->changes++;
}

static void on_unused(void *user, struct app_version *version)
{
	struct told *told = user;
	memcpy(told->unused[told->nunused++ % 8], version->id, VERSION_HEX + 1);
}

static void on_forgotten(void *user, struct app_version *version)
{
	((struct told *)user)->forgotten++;
}

static const struct registry_handler handler = {
	.on_change = on_change, .on_unused = on_unused, .on_forgotten = on_forgotten};

static struct registry *new_registry(uint32_t node, struct told *told)
{
	struct registry *registry = NULL;
	struct ramet_err err = {0};
	memset(told, 0, sizeof(*told));
	suite_check_ok(registry_create(node, &handler, told, &registry, &err), &err,
		"registry_create", __FILE__, __LINE__);
	return registry;
}

/* a version "ccc…" with one or two functions */
static struct app_version *version_of(char c, uid_t uid, const char *function, const char *second)
{
	struct deploy_message message = DEPLOY_MESSAGE;
	struct app_version *version = NULL;
	struct ramet_err err = {0};
	struct wire_msg *msg;
	struct buf b = {0};
	char id[VERSION_HEX + 1] = {0};
	memset(id, c, VERSION_HEX);
	message.function = function;
	message.second = second;
	deploy_message_pack(&message, &b);
	CHECK_INT(wire_parse(b.data, b.len, WIRE_LIMITS_CONTROL, &msg, &err), 0);
	suite_check_ok(app_version_parse(wire_root(msg), id, &version, &err), &err, "parse",
		__FILE__, __LINE__);
	version->uid = uid;
	wire_free(msg);
	buf_fini(&b);
	return version;
}

static struct buf deploy(
	struct registry *registry, char c, uid_t uid, const char *function, const char *second)
{
	struct app_version *version = version_of(c, uid, function, second);
	struct buf news = {0};
	struct ramet_err err = {0};
	suite_check_ok(registry_deploy(registry, version, &news, &err), &err, "deploy", __FILE__,
		__LINE__);
	app_version_put(version);
	return news;
}

static void deploy_quietly(struct registry *registry, char c, uid_t uid, const char *function)
{
	struct buf news = deploy(registry, c, uid, function, NULL);
	buf_fini(&news);
}

static int merge(struct registry *registry, const struct buf *news, struct ramet_err *err)
{
	struct wire_msg *msg;
	int rc = wire_parse(news->data, news->len, WIRE_LIMITS_CONTROL, &msg, err);
	if (rc < 0)
		return rc;
	rc = registry_merge(registry, wire_root(msg), err);
	wire_free(msg);
	return rc;
}

/* the first letter of the version that a name means, '-' if there is none */
static char lookup(struct registry *registry, uid_t caller, const char *name)
{
	struct registry_entry *entry;
	struct ramet_err err = {0};
	if (registry_find(registry, caller, name, &entry, &err) < 0)
		return '-';
	return entry->version->id[0];
}

static void test_tenants(void)
{
	struct told told;
	struct registry *registry = new_registry(1, &told);
	struct registry_entry *entry;
	struct ramet_err err = {0};
	deploy_quietly(registry, 'a', 1000, "f");
	deploy_quietly(registry, 'b', 1001, "f");
	deploy_quietly(registry, 'c', 1001, "g");
	CHECK_INT(lookup(registry, 1000, "f"), 'a');
	CHECK_INT(lookup(registry, 1001, "f"), 'b');
	CHECK_INT(lookup(registry, 1002, "f"), '-');
	CHECK_INT(lookup(registry, 1000, "g"), '-');
	CHECK_INT(lookup(registry, 0, "g"), 'c');
	CHECK_INT(registry_find(registry, 0, "f", &entry, &err), RAMET_EINVAL); /* whose? */
	CHECK_STR(err.msg, "function f belongs to users 1000 and 1001: call it as one of them");
	deploy_quietly(registry, 'd', 0, "f");
	CHECK_INT(lookup(registry, 0, "f"), 'd');
	CHECK_INT(registry_count(registry), 4);
	registry_destroy(registry);
}

static void test_not_found_suggests_only_what_may_be_seen(void)
{
	struct told told;
	struct registry *registry = new_registry(1, &told);
	struct registry_entry *entry;
	struct ramet_err err = {0};
	deploy_quietly(registry, 'a', 1000, "pagerank");
	CHECK_INT(registry_find(registry, 1000, "pagernak", &entry, &err), RAMET_ENOTFOUND);
	CHECK_STR(err.msg, "no function pagernak; did you mean pagerank?");
	CHECK_INT(registry_find(registry, 1001, "pagernak", &entry, &err), RAMET_ENOTFOUND);
	CHECK(strstr(err.msg, "pagerank") == NULL);
	CHECK_INT(registry_find(registry, 1000, "../x\n", &entry, &err), RAMET_ENOTFOUND);
	registry_destroy(registry);
}

static void test_a_version_that_nothing_points_to_is_told(void)
{
	struct told told;
	struct registry *registry = new_registry(1, &told);
	struct buf news = deploy(registry, 'a', 1000, "f", "g");
	buf_fini(&news);
	deploy_quietly(registry, 'b', 1000, "f");
	CHECK_INT(told.nunused, 0); /* g is still of a */
	CHECK(registry_version(registry, told.unused[0]) == NULL);
	deploy_quietly(registry, 'c', 1000, "g");
	CHECK_INT(told.nunused, 1);
	CHECK_INT(told.unused[0][0], 'a');
	CHECK_INT(told.changes, 4);
	deploy_quietly(registry, 'c', 1000, "g"); /* the same again */
	CHECK_INT(told.nunused, 1);
	registry_destroy(registry);
}

static void test_news_make_registries_equal(void)
{
	struct told told_a, told_b;
	struct registry *a = new_registry(1, &told_a), *b = new_registry(2, &told_b);
	struct ramet_err err = {0};
	CHECK_INT(registry_digest(a), 0);
	struct buf first = deploy(a, 'a', 1000, "f", "g"), second = deploy(a, 'b', 1000, "f", NULL);
	CHECK(registry_digest(a) != registry_digest(b));
	REQUIRE_OK(merge(b, &second, &err), &err); /* the later first */
	REQUIRE_OK(merge(b, &first, &err), &err);
	CHECK_INT(lookup(b, 1000, "f"), 'b');
	CHECK_INT(lookup(b, 1000, "g"), 'a');
	CHECK_INT(registry_digest(a), registry_digest(b));
	REQUIRE_OK(merge(b, &second, &err), &err); /* and once more */
	CHECK_INT(registry_digest(a), registry_digest(b));
	buf_fini(&first);
	buf_fini(&second);
	registry_destroy(a);
	registry_destroy(b);
}

static void test_removed_stays_removed(void)
{
	struct told told_a, told_b;
	struct registry *a = new_registry(1, &told_a), *b = new_registry(2, &told_b);
	struct registry_entry *entry;
	struct ramet_err err = {0};
	struct buf news = deploy(a, 'a', 1000, "f", NULL), removal = {0}, all = {0};
	REQUIRE_OK(merge(b, &news, &err), &err);
	REQUIRE_OK(registry_find(b, 1000, "f", &entry, &err), &err);
	REQUIRE_OK(registry_remove(b, entry, &removal, &err), &err);
	CHECK_INT(told_b.nunused, 1);
	CHECK_INT(registry_count(b), 0);
	CHECK(registry_next(b, NULL) == NULL);
	REQUIRE_OK(merge(b, &news, &err), &err); /* old news */
	CHECK_INT(lookup(b, 1000, "f"), '-');
	REQUIRE_OK(registry_pack(b, &all, &err), &err);
	REQUIRE_OK(merge(a, &all, &err), &err);
	CHECK_INT(lookup(a, 1000, "f"), '-');
	CHECK_INT(registry_digest(a), registry_digest(b));
	deploy_quietly(a, 'c', 1000, "f"); /* newer than the removal */
	CHECK_INT(lookup(a, 1000, "f"), 'c');
	buf_fini(&news);
	buf_fini(&removal);
	buf_fini(&all);
	registry_destroy(a);
	registry_destroy(b);
}

static void test_two_deploys_at_once_end_the_same_everywhere(void)
{
	struct told told_a, told_b;
	struct registry *a = new_registry(1, &told_a), *b = new_registry(2, &told_b);
	struct ramet_err err = {0};
	struct buf from_a = deploy(a, 'a', 1000, "f", NULL),
		   from_b = deploy(b, 'b', 1000, "f", NULL);
	REQUIRE_OK(merge(a, &from_b, &err), &err);
	REQUIRE_OK(merge(b, &from_a, &err), &err);
	CHECK_INT(lookup(a, 1000, "f"), 'b'); /* the higher node */
	CHECK_INT(lookup(b, 1000, "f"), 'b');
	CHECK_INT(registry_digest(a), registry_digest(b));
	buf_fini(&from_a);
	buf_fini(&from_b);
	registry_destroy(a);
	registry_destroy(b);
}

static void pack_news(
	struct buf *b, const char *name, uint64_t generation, const char *version, uint64_t uid)
{
	wire_map(b, 2);
	wire_key(b, "entries");
	wire_array(b, 1);
	wire_map(b, 5);
	wire_kstr(b, "name", name);
	wire_kuint(b, "uid", uid);
	wire_kuint(b, "generation", generation);
	wire_kuint(b, "node", 2);
	wire_kstr(b, "version", version);
	wire_key(b, "versions");
	wire_map(b, 0);
}

static void test_garbage_changes_nothing(void)
{
	static const char unknown[] =
		"1111111111111111111111111111111111111111111111111111111111111111";
	static const struct {
		const char *name;
		uint64_t generation;
		const char *version;
		uint64_t uid;
	} cases[] = {
		{"../f", 9, "", 1000},
		{"f", UINT64_MAX, "", 1000}, /* would freeze the entry for ever */
		{"f", 9, "xyz", 1000},
		{"f", 9, unknown, 1000}, /* not in versions */
		{"f", 9, "", UINT32_MAX},
	};
	struct told told;
	struct registry *registry = new_registry(1, &told);
	deploy_quietly(registry, 'a', 1000, "f");
	uint64_t before = registry_digest(registry);
	for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
		struct buf news = {0};
		struct ramet_err err = {0};
		pack_news(
			&news, cases[i].name, cases[i].generation, cases[i].version, cases[i].uid);
		CHECK_INT(merge(registry, &news, &err), RAMET_EPROTO);
		CHECK_INT(registry_digest(registry), before);
		buf_fini(&news);
	}
	registry_destroy(registry);
}

static void test_a_version_of_another_tenant_is_refused(void)
{
	struct told told_a, told_b;
	struct registry *a = new_registry(1, &told_a);
	struct registry *b = new_registry(2, &told_b);
	struct ramet_err err = {0};
	struct buf news = deploy(a, 'a', 1000, "f", NULL), forged = {0};
	REQUIRE_OK(merge(b, &news, &err), &err);
	char id[VERSION_HEX + 1] = {0};
	memset(id, 'a', VERSION_HEX);
	pack_news(&forged, "f", 9, id, 1001);
	CHECK_INT(merge(b, &forged, &err), RAMET_EPROTO);
	CHECK_INT(lookup(b, 1001, "f"), '-');
	buf_fini(&forged);
	pack_news(&forged, "g", 9, id, 1000); /* a function that is not in it */
	CHECK_INT(merge(b, &forged, &err), RAMET_EPROTO);
	buf_fini(&forged);
	buf_fini(&news);
	registry_destroy(a);
	registry_destroy(b);
}

/* the first letter of what a function goes back to, or '-' */
static char past(struct registry *registry, const char *which, struct app_version **ret)
{
	struct registry_entry *entry;
	struct ramet_err err = {0};
	struct app_version *version = NULL;
	if (registry_find(registry, 7, "f", &entry, &err) < 0 ||
		registry_find_past(entry, which, &version, &err) < 0)
		return '-';
	if (ret)
		*ret = version;
	return version->id[0];
}

static void test_going_back(void)
{
	struct told told, told2;
	struct registry *one = new_registry(1, &told), *two = new_registry(2, &told2);
	struct app_version *version = NULL;
	struct ramet_err err = {0};
	CHECK_INT(past(one, NULL, NULL), '-');
	for (const char *c = "abc"; *c; c++) {
		struct buf news = deploy(one, *c, 7, "f", NULL);
		REQUIRE_OK(merge(two, &news, &err), &err);
		buf_fini(&news);
	}
	CHECK_INT(past(one, NULL, NULL), 'b');
	CHECK_INT(past(one, "aaaa", NULL), 'a');
	CHECK_INT(past(one, "latest", NULL), '-'); /* it is that already */
	CHECK_INT(past(one, "dddd", NULL), '-');
	CHECK_INT(past(one, "aaaa", &version), 'a');
	struct buf news = {0};
	REQUIRE_OK(registry_rollback(one, version, &news, &err), &err);
	REQUIRE_OK(merge(two, &news, &err), &err);
	buf_fini(&news);
	struct registry *both[] = {one, two};
	for (unsigned i = 0; i < 2; i++) {
		CHECK_INT(lookup(both[i], 7, "f"), 'a');
		CHECK_INT(past(both[i], NULL, NULL), 'c');
		CHECK_INT(past(both[i], "latest", NULL), 'c');
		CHECK_INT(past(both[i], "aaaa", NULL), '-');
	}
	CHECK(registry_digest(one) == registry_digest(two));
	registry_destroy(one);
	registry_destroy(two);
}

static void test_so_many_are_kept(void)
{
	struct told told;
	struct registry *registry = new_registry(1, &told);
	struct registry_entry *entry = NULL;
	struct ramet_err err = {0};
	char id[VERSION_HEX + 1] = {0};
	for (const char *c = "0123456789"; *c; c++)
		deploy_quietly(registry, *c, 7, "f");
	CHECK_INT(told.forgotten, 1);
	memset(id, '0', VERSION_HEX);
	CHECK(!registry_keeps(registry, id));
	memset(id, '1', VERSION_HEX);
	CHECK(registry_keeps(registry, id));
	CHECK_INT(past(registry, "11", NULL), '1');
	REQUIRE_OK(registry_find(registry, 7, "f", &entry, &err), &err);
	struct buf news = {0};
	REQUIRE_OK(registry_remove(registry, entry, &news, &err), &err);
	buf_fini(&news);
	CHECK_INT(told.forgotten, 1 + REGISTRY_PAST);
	CHECK(!registry_keeps(registry, id));
	registry_destroy(registry);
}

SUITE_MAIN("registry", TEST(test_tenants), TEST(test_not_found_suggests_only_what_may_be_seen),
	TEST(test_a_version_that_nothing_points_to_is_told), TEST(test_news_make_registries_equal),
	TEST(test_removed_stays_removed), TEST(test_two_deploys_at_once_end_the_same_everywhere),
	TEST(test_garbage_changes_nothing), TEST(test_a_version_of_another_tenant_is_refused),
	TEST(test_going_back), TEST(test_so_many_are_kept))
