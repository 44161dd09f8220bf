/* ramet.yaml: what is accepted, and what the error says about what is not. */
#include "base/err.h"
#include "cluster/client_proto.h"
#include "libramet/app_config.h"
#include "tests/lib/suite.h"

#include <stdlib.h>
#include <string.h>

static int parse(const char *text, struct app_config *config, struct ramet_err *err)
{
	return app_config_parse("ramet.yaml", text, strlen(text), config, err);
}

static void test_all_keys(void)
{
	struct app_config c = {0};
	struct ramet_err err = {0};
	REQUIRE_OK(
		parse("name: rank\napp: graph\nlang: python\nhandler: app.py:main\n"
		      "files: [app.py, data/]\npython: /usr/bin/python3\n"
		      "env:\n  OMP_NUM_THREADS: 1\n  GREETING: \"a=b c\"\n  EMPTY: ''\n"
		      "limits:\n  mem: 512M\n  deadline: 250\n  output: 1M\n  pids: 64\n  cpu: "
		      "1.5\n"
		      "init: setup.py:load\nmodules: [json, numpy.linalg]\npath: [lib, /opt/lib]\n"
		      "data: [/srv/tables]\nsamples: samples.json\nrequirements: need.txt\nsecrets: [KEY]\n"
		      "fresh: reset\nidempotent: yes\nclose_on_fork: [sockets, devices]\n",
			&c, &err),
		&err);
	CHECK_STR(c.name, "rank");
	CHECK_STR(c.app, "graph");
	CHECK_STR(c.lang, "python");
	CHECK_STR(c.handler, "app.py:main");
	CHECK_STR(c.python, "/usr/bin/python3");
	CHECK_STR(c.fresh, "reset");
	CHECK(c.idempotent);
	CHECK_INT(c.close_on_fork, CLIENT_CLOSE_SOCKETS | CLIENT_CLOSE_DEVICES);
	CHECK_INT(c.files.count, 2);
	CHECK_STR(c.files.v[1], "data/");
	CHECK_INT(c.env.count, 3);
	CHECK_STR(c.env.v[0], "OMP_NUM_THREADS=1");
	CHECK_STR(c.env.v[1], "GREETING=a=b c");
	CHECK_STR(c.env.v[2], "EMPTY=");
	CHECK_INT(c.limits.mem, 512u << 20);
	CHECK_INT(c.limits.deadline_ms, 250);
	CHECK_INT(c.limits.output, 1u << 20);
	CHECK_INT(c.limits.pids, 64);
	CHECK_INT(c.limits.cpu, 1500);
	CHECK_STR(c.init, "setup.py:load");
	CHECK_STR(c.samples, "samples.json");
	CHECK_STR(c.requirements_file, "need.txt");
	CHECK_INT(c.secrets.count, 1);
	CHECK_STR(c.secrets.v[0], "KEY");
	CHECK_INT(c.requirements.count, 0);
	CHECK_INT(c.modules.count, 2);
	CHECK_STR(c.modules.v[1], "numpy.linalg");
	CHECK_INT(c.path.count, 2);
	CHECK_STR(c.path.v[0], "lib");
	CHECK_INT(c.data.count, 1);
	CHECK_STR(c.data.v[0], "/srv/tables");
	app_config_fini(&c);
}

static void test_requirements_in_a_list(void)
{
	struct app_config c = {0};
	struct ramet_err err = {0};
	REQUIRE_OK(parse("requirements: ['numpy>=1.20', --no-index]\n", &c, &err), &err);
	CHECK(!c.requirements_file);
	CHECK_INT(c.requirements.count, 2);
	CHECK_STR(c.requirements.v[0], "numpy>=1.20");
	CHECK_STR(c.requirements.v[1], "--no-index");
	app_config_fini(&c);
}

static void test_nothing_is_fine(void)
{
	struct app_config c = {0};
	struct ramet_err err = {0};
	REQUIRE_OK(parse("# all by default\n", &c, &err), &err);
	CHECK(!c.name && !c.handler && c.files.count == 0 && c.env.count == 0 && !c.idempotent);
	app_config_fini(&c);
}

struct refused {
	const char *text, *says;
};

static void test_refused(void)
{
	static const struct refused cases[] = {
		{"name: a\nhandlr: x\n",
			"ramet.yaml:2: handlr: unknown key; did you mean \"handler\"?"},
		{"limits:\n  mme: 1M\n", "mme"},
		{"limits:\n  mem: lots\n", "limits.mem: \"lots\" is not a size"},
		{"limits:\n  mem: 0\n", "limits.mem"},
		{"limits:\n  cpu: 10s\n",
			"limits.cpu: \"10s\" is not a number of cores, as in 1.5"},
		{"limits:\n  cpu: .5\n", "limits.cpu"},
		{"limits:\n  cpu: 0.001\n", "limits.cpu"},
		{"limits:\n  cpu: 1.2345\n", "limits.cpu"},
		{"limits:\n  cpu: 5000\n", "limits.cpu"},
		{"modules: numpy\n", "modules"},
		{"data: []\n", "data"},
		{"requirements: {a: b}\n", "requirements"},
		{"limits:\n  deadline: soon\n", "limits.deadline: \"soon\" is not a time"},
		{"limits:\n  deadline: 0\n", "limits.deadline"},
		{"limits:\n  output: 65M\n", "limits.output: \"65M\" is not at most 64M"},
		{"limits:\n  pids: many\n", "pids"},
		{"limits: 5\n", "limits"},
		{"name: [a]\n", "name"},
		{"name: ''\n", "name"},
		{"files: app.py\n", "files"},
		{"close_on_fork: [sockets, cats]\n",
			"close_on_fork: \"cats\" is not one of: sockets, pipes, files"},
		{"idempotent: perhaps\n", "idempotent"},
		{"lang: cobol\n", "lang: \"cobol\" is not one of: python, native"},
		{"fresh: always\n", "fresh: \"always\" is not one of: reuse, reset, fresh"},
		{"python: python3\n", "python: \"python3\" is not an absolute path"},
		{"env: [A=1]\n", "env"},
		{"env:\n  1A: x\n",
			"ramet.yaml:2: env: \"1A\" cannot name an environment variable"},
		{"env:\n  A: 1\n  A: 2\n", "A"},
		{"env:\n  A: {b: c}\n", "A"},
		{"name: a\nbind: apart\n", "bind: \"apart\" is not one of: own, shared"},
		{"secrets: KEY\n", "secrets"},
		{"name: a\nname: b\n", "name"},
		{"name: a\n  b: c\n", "ramet.yaml"},
		{"- a\n", "ramet.yaml"},
		{"name: \"\\x00\"\n", "name"},
		{"a: &x {b: *x}\n", "ramet.yaml"},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct app_config c = {0};
		struct ramet_err err = {0};
		int rc = parse(cases[i].text, &c, &err);
		CHECK_INT(rc, RAMET_ECONFIG);
		if (!strstr(err.msg, cases[i].says))
			CHECK_STR(err.msg, cases[i].says);
		CHECK(!c.name);
	}
}

static void test_oversized(void)
{
	struct app_config c = {0};
	struct ramet_err err = {0};
	char *text = malloc(2u << 20);
	REQUIRE(text != NULL);
	memset(text, '#', 2u << 20);
	CHECK_INT(app_config_parse("ramet.yaml", text, 2u << 20, &c, &err), RAMET_ECONFIG);
	CHECK(strstr(err.msg, "longer than") != NULL);

	int len = snprintf(text, 2u << 20, "env:\n");
	for (int i = 0; i < 300; i++)
		len += snprintf(text + len, (2u << 20) - (size_t)len, "  K%d: v\n", i);
	CHECK_INT(app_config_parse("ramet.yaml", text, (size_t)len, &c, &err), RAMET_ECONFIG);
	CHECK(strstr(err.msg, "more than 256") != NULL);
	free(text);
}

static void test_missing_file(void)
{
	struct app_config c = {0};
	struct ramet_err err = {0};
	CHECK_INT(app_config_load("/nonexistent/ramet.yaml", &c, &err), RAMET_EIO);
	CHECK(strstr(err.msg, "/nonexistent/ramet.yaml") != NULL);
}

static void test_env_replaces(void)
{
	struct app_config c = {0};
	struct ramet_err err = {0};
	REQUIRE_OK(app_config_env(&c, "A=1", &err), &err);
	REQUIRE_OK(app_config_env(&c, "AB=2", &err), &err);
	REQUIRE_OK(app_config_env(&c, "A=3=4", &err), &err);
	CHECK_INT(c.env.count, 2);
	CHECK_STR(c.env.v[0], "A=3=4");
	CHECK_INT(app_config_env(&c, "A", &err), RAMET_EINVAL);
	CHECK_INT(app_config_env(&c, "=x", &err), RAMET_EINVAL);
	CHECK_INT(app_config_env(&c, "a-b=x", &err), RAMET_EINVAL);
	app_config_fini(&c);
}

SUITE_MAIN("app_config", TEST(test_all_keys), TEST(test_requirements_in_a_list),
	TEST(test_nothing_is_fine), TEST(test_refused), TEST(test_oversized),
	TEST(test_missing_file), TEST(test_env_replaces))
