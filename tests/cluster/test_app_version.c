/* Versions: what a deploy message or a peer may say, and what it may not. */
#include "base/cleanup.h"
#include "cluster/app_version.h"
#include "tests/cluster/deploy_message.h"
#include "tests/lib/suite.h"

#include <string.h>

#define ID "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

/* parses a deploy message */
static int parse(const struct deploy_message *message, struct app_version **ret_version,
	struct ramet_err *err)
{
	CLEANUP(buf_fini) struct buf b = {0};
	struct wire_msg *msg = NULL;
	deploy_message_pack(message, &b);
	int rc = wire_parse(b.data, b.len, WIRE_LIMITS_CONTROL, &msg, err);
	if (rc < 0)
		return rc;
	rc = app_version_parse(wire_root(msg), ID, ret_version, err);
	wire_free(msg);
	return rc;
}

static void test_fields_and_defaults(void)
{
	struct app_version *version = NULL;
	struct ramet_err err = {0};
	struct deploy_message message = DEPLOY_MESSAGE;
	REQUIRE_OK(parse(&message, &version, &err), &err);
	CHECK_STR(version->id, ID);
	CHECK_STR(version->app, "app");
	CHECK_STR(version->lang, "python");
	CHECK_STR(version->python, "");
	CHECK_INT(version->nfunctions, 1);
	CHECK_STR(version->functions[0].name, "f");
	CHECK_STR(version->functions[0].handler, "app.py:handler");
	CHECK_INT(version->fresh, FRESH_REUSE);
	CHECK(!version->idempotent);
	CHECK_INT(version->limits.output, CLIENT_MAX_PAYLOAD);
	CHECK_INT(version->nenv, 2);
	CHECK_STR(version->env[0], "A=1");
	CHECK_STR(version->env[1], "B=x=y"); /* sorted, whatever the order they came in */
	CHECK_INT(version->nsamples, 1);
	CHECK(app_version_function(version, "f") != NULL);
	CHECK(app_version_function(version, "g") == NULL);
	app_version_put(version);
}

static void test_packing_and_parsing_is_the_same(void)
{
	struct app_version *version = NULL, *again = NULL;
	struct ramet_err err = {0};
	struct wire_msg *msg = NULL;
	struct buf b = {0}, c = {0};
	struct deploy_message message = DEPLOY_MESSAGE;
	message.python = "/opt/bin/python3";
	message.fresh = "fresh";
	message.second = "g";
	message.init = "setup.py:main";
	message.module = "os.path";
	message.sys_path = "lib/python";
	message.shown = "/srv/data";
	message.requirement = "numpy>1";
	message.requirements = "needs.txt";
	REQUIRE_OK(parse(&message, &version, &err), &err);
	version->uid = 1000;
	app_version_pack(version, &b);
	REQUIRE_OK(wire_end(&b, &err), &err);
	REQUIRE_OK(wire_parse(b.data, b.len, WIRE_LIMITS_CONTROL, &msg, &err), &err);
	REQUIRE_OK(app_version_parse(wire_root(msg), ID, &again, &err), &err);
	app_version_pack(again, &c);
	CHECK_INT(c.len, b.len);
	CHECK(c.len == b.len && memcmp(b.data, c.data, b.len) == 0);
	CHECK_INT(again->uid, 1000);
	CHECK_INT(again->fresh, FRESH_FRESH);
	CHECK_STR(again->init, "setup.py:main");
	CHECK_INT(again->modules.count, 1);
	CHECK_STR(again->modules.v[0], "os.path");
	CHECK_STR(again->path.v[0], "lib/python");
	CHECK_STR(again->data.v[0], "/srv/data");
	CHECK_STR(again->requirements.v[0], "numpy>1");
	CHECK_STR(again->requirements_file, "needs.txt");
	wire_free(msg);
	buf_fini(&b);
	buf_fini(&c);
	app_version_put(version);
	app_version_put(again);
}

static void test_what_is_refused(void)
{
	static const struct {
		struct deploy_message change;
		int code;
		const char *says;
	} cases[] = {
		{{.app = "../up"}, RAMET_EINVAL, "an app cannot be called"},
		{{.function = "a b"}, RAMET_EINVAL, "a function cannot be called"},
		{{.function = ".hidden"}, RAMET_EINVAL, "a function cannot be called"},
		{{.function = "-x"}, RAMET_EINVAL, "a function cannot be called"},
		{{.handler = "app.py"}, RAMET_EINVAL, "FILE:SYMBOL"},
		{{.handler = ":f"}, RAMET_EINVAL, "FILE:SYMBOL"},
		{{.handler = "app.py:"}, RAMET_EINVAL, "FILE:SYMBOL"},
		{{.second = "f"}, RAMET_EINVAL, "function f is there twice"},
		{{.python = "python3"}, RAMET_EINVAL, "not an absolute path"},
		{{.fresh = "stale"}, RAMET_EINVAL, "fresh"},
		{{.env_name = "A=B"}, RAMET_EINVAL, "env"},
		{{.env_name = ""}, RAMET_EINVAL, "env"},
		{{.no_functions = true}, RAMET_ELIMIT, "0 functions"},
		{{.many_functions = true}, RAMET_ELIMIT, "65 functions"},
		{{.lang = "0123456789abcdef"}, RAMET_EPROTO, "lang"},
		{{.init = "setup.py"}, RAMET_EINVAL, "init is \"setup.py\""},
		{{.module = "a b"}, RAMET_EINVAL, "modules: \"a b\" is no module's name"},
		{{.module = ".relative"}, RAMET_EINVAL, "modules"},
		{{.module = "numpy", .lang = "native"}, RAMET_EINVAL, "only Python has that"},
		{{.sys_path = "../up"}, RAMET_EINVAL, "path"},
		{{.sys_path = "lib", .lang = "native"}, RAMET_EINVAL, "path: only Python"},
		{{.requirement = "a\nb"}, RAMET_EINVAL, "requirements"},
		{{.requirement = "numpy", .lang = "native"}, RAMET_EINVAL, "requirements: only"},
		{{.shown = "relative"}, RAMET_EINVAL, "data: \"relative\" is not an absolute path"},
		{{.shown = "/"}, RAMET_EINVAL, "data"},
		{{.shown = "/a/../b"}, RAMET_EINVAL, "data"},
		{{.shown = "/a/"}, RAMET_EINVAL, "data"},
		{{.shown = "/proc/1"}, RAMET_EINVAL, "/proc is the instances' own"},
		{{.shown = "/ramet"}, RAMET_EINVAL, "/ramet"},
	};
	for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
		struct app_version *version = NULL;
		struct ramet_err err = {0};
		struct deploy_message message = deploy_message_with(&cases[i].change);
		CHECK_INT(parse(&message, &version, &err), cases[i].code);
		if (!strstr(err.msg, cases[i].says))
			CHECK_STR(err.msg, cases[i].says);
		CHECK(version == NULL);
	}
}

static void test_names_of_versions(void)
{
	CHECK(version_valid(ID));
	CHECK(!version_valid("0123"));
	CHECK(!version_valid("0123456789ABCDEF0123456789abcdef0123456789abcdef0123456789abcdef"));
	CHECK(!version_valid("../../../../../../../../../../../../../../../../../../etc/passwd0"));
}

SUITE_MAIN("app_version", TEST(test_fields_and_defaults),
	TEST(test_packing_and_parsing_is_the_same), TEST(test_what_is_refused),
	TEST(test_names_of_versions))
