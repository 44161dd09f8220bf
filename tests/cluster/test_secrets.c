/* The table of secrets: whose they are, which one an app gets, newer over older, what peers may
 * say.
 */
#include "base/cleanup.h"
#include "cluster/secrets.h"
#include "tests/lib/suite.h"

#include <string.h>

static unsigned changed;

static void on_changed(void *user, const struct secret *secret)
{
	(void)user;
	(void)secret;
	changed++;
}

static struct secrets *new_secrets(uint32_t node)
{
	struct secrets *secrets = NULL;
	struct ramet_err err = {0};
	changed = 0;
	suite_check_ok(secrets_create(node, on_changed, NULL, &secrets, &err), &err, "create",
		__FILE__, __LINE__);
	return secrets;
}

static int change(struct secrets *secrets, uid_t uid, const char *app, const char *value,
	struct buf *ret_news, struct ramet_err *err)
{
	const struct secrets_change what = {uid, app, "KEY", value, value ? strlen(value) : 0};
	return secrets_change(secrets, &what, ret_news, err);
}

static void set(struct secrets *secrets, uid_t uid, const char *app, const char *value)
{
	CLEANUP(secrets_wipe) struct buf news = {0};
	struct ramet_err err = {0};
	suite_check_ok(
		change(secrets, uid, app, value, &news, &err), &err, "set", __FILE__, __LINE__);
}

static const char *get(const struct secrets *secrets, uid_t uid, const char *app)
{
	const struct secret *secret = secrets_find(secrets, uid, app, "KEY");
	return secret ? secret->value : "(none)"; /* what follows a value are zeros */
}

static int merge(struct secrets *secrets, const struct buf *news, struct ramet_err *err)
{
	struct wire_msg *msg = NULL;
	int rc = wire_parse(news->data, news->len, WIRE_LIMITS_CONTROL, &msg, err);
	if (rc == 0)
		rc = secrets_merge(secrets, wire_root(msg), err);
	wire_free(msg);
	return rc;
}

static void test_an_apps_own_goes_before_the_tenants(void)
{
	struct secrets *secrets = new_secrets(1);
	set(secrets, 1000, "", "all");
	set(secrets, 1000, "web", "webs");
	CHECK_STR(get(secrets, 1000, "web"), "webs");
	CHECK_STR(get(secrets, 1000, "other"), "all");
	CHECK_STR(get(secrets, 1001, "web"), "(none)");
	set(secrets, 1000, "web", NULL);
	CHECK_STR(get(secrets, 1000, "web"), "all");
	CHECK_INT(changed, 3);
	secrets_destroy(secrets);
}

static void test_removing_what_is_not_there(void)
{
	struct secrets *secrets = new_secrets(1);
	struct ramet_err err = {0};
	struct buf news = {0};
	CHECK_INT(change(secrets, 1000, "", NULL, &news, &err), RAMET_ENOTFOUND);
	CHECK(strstr(err.msg, "KEY") != NULL);
	CHECK(news.data == NULL);
	CHECK(secrets_next(secrets, NULL) == NULL);
	secrets_destroy(secrets);
}

static void test_the_newer_of_two_wins_on_both_nodes(void)
{
	struct secrets *one = new_secrets(1), *two = new_secrets(2);
	CLEANUP(secrets_wipe) struct buf first = {0};
	CLEANUP(secrets_wipe) struct buf removal = {0};
	CLEANUP(secrets_wipe) struct buf all = {0};
	struct ramet_err err = {0};
	CHECK_INT(secrets_digest(one), secrets_digest(two));
	REQUIRE_OK(change(one, 7, "", "old", &first, &err), &err);
	CHECK(secrets_digest(one) != secrets_digest(two));
	REQUIRE_OK(merge(two, &first, &err), &err);
	CHECK_STR(get(two, 7, "x"), "old");
	CHECK(secrets_digest(one) == secrets_digest(two));
	REQUIRE_OK(change(two, 7, "", NULL, &removal, &err), &err);
	REQUIRE_OK(merge(one, &removal, &err), &err);
	CHECK_STR(get(one, 7, "x"), "(none)");
	uint64_t generation = secrets_generation(one);
	REQUIRE_OK(merge(one, &first, &err), &err); /* late */
	CHECK_STR(get(one, 7, "x"), "(none)");
	CHECK_INT(secrets_generation(one), generation);
	set(one, 7, "", "new");
	REQUIRE_OK(secrets_pack(one, &all, &err), &err);
	REQUIRE_OK(merge(two, &all, &err), &err);
	CHECK_STR(get(two, 7, "x"), "new");
	CHECK(secrets_digest(one) == secrets_digest(two));
	secrets_destroy(one);
	secrets_destroy(two);
}

static void test_both_nodes_change_it_at_once(void)
{
	struct secrets *one = new_secrets(1), *two = new_secrets(2);
	CLEANUP(secrets_wipe) struct buf of_one = {0};
	CLEANUP(secrets_wipe) struct buf of_two = {0};
	struct ramet_err err = {0};
	REQUIRE_OK(change(one, 7, "", "one", &of_one, &err), &err);
	REQUIRE_OK(change(two, 7, "", "two", &of_two, &err), &err);
	REQUIRE_OK(merge(one, &of_two, &err), &err);
	REQUIRE_OK(merge(two, &of_one, &err), &err);
	CHECK_STR(get(one, 7, ""), "two");
	CHECK_STR(get(two, 7, ""), "two");
	secrets_destroy(one);
	secrets_destroy(two);
}

static void pack_entry(struct buf *b, const char *name, uint64_t generation, size_t len)
{
	static const char value[CLIENT_MAX_SECRET + 1];
	wire_map(b, 1);
	wire_key(b, "entries");
	wire_array(b, 1);
	wire_map(b, 7);
	wire_kuint(b, "uid", 7);
	wire_kstr(b, "app", "");
	wire_kstr(b, "name", name);
	wire_kuint(b, "generation", generation);
	wire_kuint(b, "node", 3);
	wire_kuint(b, "time", 1);
	wire_kbin(b, "value", value, len);
}

static void test_what_a_peer_may_not_say(void)
{
	static const struct {
		const char *name;
		uint64_t generation;
		size_t len;
	} cases[] = {{"../up", 1, 1}, {"", 1, 1}, {"KEY", 0, 1}, {"KEY", UINT64_MAX, 1},
		{"KEY", 1, CLIENT_MAX_SECRET + 1}};
	struct secrets *secrets = new_secrets(1);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct ramet_err err = {0};
		CLEANUP(buf_fini) struct buf b = {0};
		pack_entry(&b, cases[i].name, cases[i].generation, cases[i].len);
		CHECK_INT(merge(secrets, &b, &err), RAMET_EPROTO);
	}
	CHECK(secrets_next(secrets, NULL) == NULL);
	CHECK_INT(changed, 0);
	secrets_destroy(secrets);
}

static void test_a_tenant_has_so_many(void)
{
	struct secrets *secrets = new_secrets(1);
	struct ramet_err err = {0};
	int rc = 0;
	for (unsigned i = 0; i <= SECRETS_MAX_OF_USER && rc == 0; i++) {
		CLEANUP(secrets_wipe) struct buf news = {0};
		char name[16];
		snprintf(name, sizeof(name), "K%u", i);
		const struct secrets_change what = {7, "", name, "v", 1};
		rc = secrets_change(secrets, &what, &news, &err);
		CHECK_INT(rc, i < SECRETS_MAX_OF_USER ? 0 : RAMET_ELIMIT);
	}
	set(secrets, 8, "", "another tenant");
	CHECK_STR(get(secrets, 8, ""), "another tenant");
	secrets_destroy(secrets);
}

SUITE_MAIN("secrets", TEST(test_an_apps_own_goes_before_the_tenants),
	TEST(test_removing_what_is_not_there), TEST(test_the_newer_of_two_wins_on_both_nodes),
	TEST(test_both_nodes_change_it_at_once), TEST(test_what_a_peer_may_not_say),
	TEST(test_a_tenant_has_so_many))
