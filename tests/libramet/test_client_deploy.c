/* Deploying through the library: what is sent for a file and for a directory, and what comes back.
 */
#include "base/err.h"
#include "ramet/ramet.h"
#include "tests/lib/suite.h"
#include "tests/libramet/fake_daemon.h"
#include "tests/libramet/temp_dir.h"

struct fixture {
	struct temp_dir dir;
	struct fake_daemon *fake;
	struct ramet *ramet;
};

static int setup(struct fixture *f)
{
	struct ramet_err err = {0};
	temp_dir_make(&f->dir);
	f->fake = fake_daemon_start(temp_dir_join(&f->dir, "sock"), 1);
	return f->fake ? ramet_open(f->dir.joined, &f->ramet, &err) : -1;
}

static void teardown(struct fixture *f)
{
	ramet_close(f->ramet);
	fake_daemon_stop(f->fake);
	temp_dir_remove(&f->dir);
}

static const char *str(const struct wire_value *map, const char *key)
{
	static char text[256];
	text[0] = '\0';
	wire_get_str_or(map, key, "(none)", text, sizeof(text), NULL);
	return text;
}

static uint32_t count(const struct wire_value *map, const char *key, const struct wire_value **ret)
{
	uint32_t n = 0;
	return wire_get_array(map, key, ret, &n, NULL) == 0 ? n : 0;
}

static void on_progress(void *user, const char *stage, const char *text, double fraction)
{
	CHECK_STR(stage, "load");
	CHECK_STR(text, "importing");
	CHECK(fraction == 0.5);
	++*(int *)user;
}

static void test_file(void)
{
	struct fixture f;
	struct ramet_result *r = NULL;
	struct ramet_err err = {0};
	int told = 0;
	REQUIRE(setup(&f) == 0);
	struct ramet_deploy_options o = ramet_deploy_options_default();
	o.progress = on_progress;
	o.user = &told;
	const char *path = temp_dir_write(&f.dir, "square.py", "def handler(e, c): ...\n");
	REQUIRE_OK(ramet_deploy(f.ramet, path, &o, &r, &err), &err);
	CHECK_INT(told, 1);
	CHECK_STR(r->function, "square");
	CHECK_INT(r->start, RAMET_START_COLD);
	CHECK(r->capture_us == 12000.0 && r->stall_us == 400.0);
	CHECK_INT(r->image_bytes, 17 << 20);
	ramet_result_free(r);

	const struct message *m = fake_daemon_last(f.fake, "deploy");
	const struct wire_value *list;
	REQUIRE(m != NULL);
	CHECK_STR(str(m->root, "app"), "square");
	CHECK_STR(str(m->root, "lang"), "python");
	REQUIRE(count(m->root, "files", &list) == 1); /* not its neighbours */
	CHECK_STR(str(wire_at(list, 0), "path"), "square.py");
	REQUIRE(count(m->root, "functions", &list) == 1);
	CHECK_STR(str(wire_at(list, 0), "handler"), "square.py:handler");
	teardown(&f);
}

static void test_directory(void)
{
	struct fixture f;
	struct ramet_err err = {0};
	REQUIRE(setup(&f) == 0);
	temp_dir_subdir(&f.dir, "app");
	temp_dir_subdir(&f.dir, "app/data");
	temp_dir_write(&f.dir, "app/main.py", "");
	temp_dir_write(&f.dir, "app/data/x", "1");
	temp_dir_write(&f.dir, "app/ramet.yaml",
		"name: rank\nhandler: main.py:go\nlimits:\n  deadline: 2s\nenv:\n  A: 1\n");
	struct ramet_deploy_options o = ramet_deploy_options_default();
	const char *const env[] = {"B=2", "A=3", NULL};
	o.env = env;
	o.app = "graphs";
	REQUIRE_OK(ramet_deploy(f.ramet, temp_dir_join(&f.dir, "app/"), &o, NULL, &err), &err);

	const struct message *m = fake_daemon_last(f.fake, "deploy");
	const struct wire_value *list;
	REQUIRE(m != NULL);
	CHECK_STR(str(m->root, "app"), "graphs");
	REQUIRE(count(m->root, "functions", &list) == 1);
	CHECK_STR(str(wire_at(list, 0), "name"), "rank");
	CHECK_STR(str(wire_at(list, 0), "handler"), "main.py:go");
	REQUIRE(count(m->root, "files", &list) == 2);
	CHECK_STR(str(wire_at(list, 0), "path"), "data/x");
	const struct wire_value *map;
	uint64_t n = 0;
	REQUIRE_OK(wire_get_map(m->root, "limits", &map, &err), &err);
	CHECK(wire_get_uint(map, "deadline_ms", 9999, &n, &err) == 0 && n == 2000);
	REQUIRE_OK(wire_get_map(m->root, "env", &map, &err), &err);
	CHECK_STR(str(map, "A"), "3");
	CHECK_STR(str(map, "B"), "2");
	teardown(&f);
}

static void test_app_that_fails(void)
{
	struct fixture f;
	struct ramet_result *r = NULL;
	struct ramet_err err = {0};
	REQUIRE(setup(&f) == 0);
	const char *path = temp_dir_write(&f.dir, "raise.py", "import x\n");
	CHECK_INT(ramet_deploy(f.ramet, path, NULL, &r, &err), RAMET_EUSER);
	CHECK_STR(err.msg, "ImportError: no module named x");
	REQUIRE(r && r->failure);
	CHECK_STR(r->function, "raise");
	CHECK(strstr(r->failure->traceback, "Traceback") != NULL);
	ramet_result_free(r);
	teardown(&f);
}

/* refused here, before anything is sent */
static void check_refused(
	struct fixture *f, const char *name, const char *handler, int code, const char *says)
{
	struct ramet_result *r = NULL;
	struct ramet_err err = {0};
	struct ramet_deploy_options o = ramet_deploy_options_default();
	o.handler = handler;
	CHECK_INT(ramet_deploy(f->ramet, temp_dir_join(&f->dir, name), &o, &r, &err), code);
	if (!strstr(err.msg, says))
		CHECK_STR(err.msg, says);
	CHECK(r == NULL);
}

static void test_refused(void)
{
	struct fixture f;
	REQUIRE(setup(&f) == 0);
	temp_dir_write(&f.dir, "a.rb", "");
	temp_dir_write(&f.dir, "b c.py", "");
	temp_dir_write(&f.dir, "ok.py", "");
	temp_dir_subdir(&f.dir, "bare");
	temp_dir_write(&f.dir, "bare/x.py", "");
	temp_dir_subdir(&f.dir, "typo");
	temp_dir_write(&f.dir, "typo/ramet.yaml", "handlr: x.py:handler\n");
	check_refused(&f, "none.py", NULL, RAMET_ENOTFOUND, "none.py");
	check_refused(&f, "a.rb", NULL, RAMET_EINVAL, "--lang");
	check_refused(&f, "b c.py", NULL, RAMET_EINVAL, "--name");
	check_refused(&f, "ok.py", "other.py:f", RAMET_ECONFIG, "other.py is not among the files");
	check_refused(&f, "ok.py", "ok.py:", RAMET_ECONFIG, "no symbol");
	check_refused(&f, "bare", NULL, RAMET_ECONFIG, "needs handler");
	check_refused(&f, "typo", NULL, RAMET_ECONFIG, "did you mean \"handler\"");
	CHECK(fake_daemon_last(f.fake, "deploy") == NULL);
	struct ramet_err err = {0};
	struct ramet_deploy_options o = ramet_deploy_options_default();
	o.handler = "x.py:main"; /* a directory without ramet.yaml can say it this way */
	CHECK_INT(ramet_deploy(f.ramet, temp_dir_join(&f.dir, "bare"), &o, NULL, &err), 0);
	o.size = 0;
	CHECK_INT(ramet_deploy(f.ramet, f.dir.joined, &o, NULL, &err), RAMET_EINVAL);
	teardown(&f);
}

static void test_remove(void)
{
	struct fixture f;
	struct ramet_err err = {0};
	REQUIRE(setup(&f) == 0);
	CHECK_INT(ramet_remove(f.ramet, "square", &err), 0);
	CHECK_INT(ramet_remove(f.ramet, "missing", &err), RAMET_ENOTFOUND);
	CHECK(strstr(err.msg, "missing") != NULL);
	teardown(&f);
}

SUITE_MAIN("client_deploy", TEST(test_file), TEST(test_directory), TEST(test_app_that_fails),
	TEST(test_refused), TEST(test_remove))
