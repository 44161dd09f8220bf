/* How a Python host comes up and loads: its interpreter, handlers, what is wrong with them. */
#include "base/err.h"
#include "runtime/host/host.h"
#include "tests/lib/suite.h"
#include "tests/runtime_python/python_world.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void end_world(struct host_world *w)
{
	struct ramet_err err = {0};
	CHECK_INT(host_say(w->control, "exit", &err), 0);
	CHECK_INT(host_end(w), 0);
}

static void test_ready_names_the_interpreter(void)
{
	struct ramet_err err = {0};
	struct host_world w;
	struct host_answer ready;
	char text[512] = "";
	REQUIRE_OK(python_start(&w, python_interpreter(), NULL, &ready, &err), &err);
	CHECK_INT(wire_get_str(ready.body, "engine", text, sizeof(text), &err), 0);
	CHECK_STR(text, "python");
	CHECK_INT(wire_get_str(ready.body, "detail", text, sizeof(text), &err), 0);
	CHECK(strncmp(text, "cpython 3.", 10) == 0);
	CHECK(strstr(text, python_interpreter()) != NULL);
	host_answer_fini(&ready);
	CHECK_INT(WEXITSTATUS(host_end(&w)), RAMET_HOST_LOST);
}

static void test_handlers_in_files_packages_and_objects(void)
{
	static const char *const handlers[] = {"pkg/module.py:service.packaged", "json.py:shadowed",
		"dotted.name.py:dotted", "calls.py:echo", "./calls.py:kind", NULL};
	struct host_world w;
	REQUIRE(python_open(&w, handlers));
	CHECK_STR(ask(w.control, "service.packaged", "21"), "42");
	CHECK_STR(ask(w.control, "shadowed", ""), "[[1], \"_ramet_app_json\"]");
	CHECK_STR(ask(w.control, "dotted", "3"), "{\"x\": 3}");
	CHECK_STR(ask(w.control, "echo", "4"), "4");
	end_world(&w);
}

/* --- what is wrong with an app --- */

struct wrong {
	const char *handler, *code, *type, *first, *second;
};

static void check_wrong(const struct wrong *wrong)
{
	const char *const handlers[] = {"calls.py:echo", wrong->handler, NULL};
	struct ramet_err err = {0};
	struct host_world w;
	struct host_answer answer = {.nfds = 0};
	REQUIRE_OK(python_start(&w, python_interpreter(), NULL, NULL, &err), &err);
	REQUIRE_OK(host_load(w.control, handlers, &answer, &err), &err);
	CHECK_STR(answer.type, "failed");
	CHECK_STR(answer_error(&answer, "code"), wrong->code);
	CHECK_STR(answer_error(&answer, "kind"), "user");
	CHECK_STR(answer_error(&answer, "type"), wrong->type);
	const char *message = answer_error(&answer, "message");
	if (!CHECK(strstr(message, wrong->first) && strstr(message, wrong->second)))
		printf("  the message is: %s\n", message);
	host_answer_fini(&answer);
	CHECK_INT(WEXITSTATUS(host_end(&w)), RAMET_HOST_LOAD);
}

static void test_wrong_handlers_are_named(void)
{
	static const struct wrong wrongs[] = {
		{"calls.py", "EINVAL", "", "calls.py", "file.py:symbol"},
		{":echo", "EINVAL", "", ":echo", "file.py:symbol"},
		{"calls.py:", "EINVAL", "", "calls.py:", "file.py:symbol"},
		{"../test_python_load.c:x", "EINVAL", "", "function x",
			"not one of the app's files"},
		{"/etc/passwd:x", "EINVAL", "", "/etc/passwd", "not one of the app's files"},
		{"CMakeLists.txt:x", "EINVAL", "", "CMakeLists.txt", "not a Python file"},
		{"absent.py:x", "ENOTFOUND", "", "function x", "no file absent.py"},
		{"calls.py:absent", "ENOTFOUND", "", "function absent", "calls.py has no absent"},
		{"calls.py:os.absent", "ENOTFOUND", "", "calls.py", "has no os.absent"},
		{"calls.py:os.environ", "EINVAL", "", "calls.py", "not callable"},
	};
	for (unsigned i = 0; i < sizeof(wrongs) / sizeof(wrongs[0]); i++)
		check_wrong(&wrongs[i]);
}

static void test_failed_imports_are_told(void)
{
	static const struct wrong wrongs[] = {
		{"raises.py:x", "EUSER", "KeyError", "importing raises.py failed", "missing"},
		{"exits.py:x", "EUSER", "SystemExit", "importing exits.py failed", "no licence"},
		{"imports.py:x", "EUSER", "ModuleNotFoundError", "imports.py", "no_such_module"},
		{"syntax.py:x", "EUSER", "SyntaxError", "syntax.py", "line 1"},
	};
	for (unsigned i = 0; i < sizeof(wrongs) / sizeof(wrongs[0]); i++)
		check_wrong(&wrongs[i]);
}

static void test_traceback_of_an_import_begins_with_the_app(void)
{
	static const char *const handlers[] = {"raises.py:x", NULL};
	struct ramet_err err = {0};
	struct host_world w;
	struct host_answer answer = {.nfds = 0};
	REQUIRE_OK(python_start(&w, python_interpreter(), NULL, NULL, &err), &err);
	REQUIRE_OK(host_load(w.control, handlers, &answer, &err), &err);
	const char *trace = answer_error(&answer, "traceback");
	CHECK(strstr(trace, "raises.py\", line 5, in <module>\n    setting_up()\n") != NULL);
	CHECK(strstr(trace, "importlib") == NULL);
	CHECK(strstr(trace, "ramet_host") == NULL);
	host_answer_fini(&answer);
	host_end(&w);
}

/* --- modules, path, init --- */

static void load_set_up(
	const struct host_config *config, struct host_world *w, struct host_answer *answer)
{
	static const char *const handlers[] = {"set_up.py:told", NULL};
	struct ramet_err err = {0};
	REQUIRE_OK(python_start(w, python_interpreter(), NULL, NULL, &err), &err);
	REQUIRE_OK(host_load_with(w->control, handlers, config, answer, &err), &err);
}

static void test_modules_path_and_init(void)
{
	static const char *const modules[] = {"colorsys", "pkg.helper", NULL};
	static const char *const path[] = {"more/modules", "/nowhere/else", NULL};
	const struct host_config config = {
			.init = "set_up.py:once", .modules = modules, .path = path};
	struct host_world w;
	struct host_answer answer = {.nfds = 0};
	load_set_up(&config, &w, &answer);
	CHECK_STR(answer.type, "loaded");
	host_answer_fini(&answer);
	/* init ran once, after the imports; directories are behind the app's own */
	CHECK_STR(ask(w.control, "told", "[\"colorsys\", \"pkg.helper\", \"wave\"]"),
		"[1, [true, true, false], \"from more\", [\"more/modules\", \"/nowhere/else\"]]");
	end_world(&w);
}

static void check_set_up_fails(const struct host_config *config, const char *type, const char *says)
{
	struct host_world w;
	struct host_answer answer = {.nfds = 0};
	load_set_up(config, &w, &answer);
	CHECK_STR(answer.type, "failed");
	CHECK_STR(answer_error(&answer, "type"), type);
	if (!strstr(answer_error(&answer, "message"), says))
		CHECK_STR(answer_error(&answer, "message"), says);
	host_answer_fini(&answer);
	CHECK_INT(WEXITSTATUS(host_end(&w)), RAMET_HOST_LOAD);
}

static void test_what_is_wrong_with_modules_and_init(void)
{
	static const char *const absent[] = {"no_such_module", NULL};
	check_set_up_fails(&(struct host_config){.modules = absent}, "ModuleNotFoundError",
		"modules: importing no_such_module failed");
	check_set_up_fails(&(struct host_config){.init = "set_up.py:fails"}, "LookupError",
		"init: set_up.py:fails failed: no table");
	check_set_up_fails(&(struct host_config){.init = "set_up.py:absent"}, "",
		"init: set_up.py has no absent");
	check_set_up_fails(&(struct host_config){.init = "absent.py:f"}, "",
		"init: there is no file absent.py");
}

/* --- the environment --- */

static void test_environment_of_the_app(void)
{
	static const char *const handlers[] = {"calls.py:environment", NULL};
	static const char *const env[] = {"OMP_NUM_THREADS=2", NULL};
	struct ramet_err err = {0};
	struct host_world w;
	struct host_answer answer = {.nfds = 0};
	REQUIRE_OK(python_start(&w, python_interpreter(), env, NULL, &err), &err);
	REQUIRE_OK(host_load(w.control, handlers, &answer, &err), &err);
	CHECK_STR(answer.type, "loaded");
	host_answer_fini(&answer);
	CHECK_STR(ask(w.control, "environment",
			  "[\"COLOUR\", \"OMP_NUM_THREADS\", \"OPENBLAS_NUM_THREADS\", "
			  "\"LD_PRELOAD\"]"),
		"[\"green\", \"2\", \"1\", null]");
	end_world(&w);
}

/* python -m venv DIR, and a package in it; false: there is no venv module here */
static bool make_venv(const char *dir, char *python, size_t cap)
{
	char command[1024];
	snprintf(python, cap, "%s/bin/python", dir);
	snprintf(command, sizeof(command),
		"%s -m venv --without-pip %s >/dev/null 2>&1 && "
		"cd \"$(%s -c 'import sysconfig; print(sysconfig.get_path(\"purelib\"))')\" && "
		"mkdir tiny && echo 'VALUE = 17' >tiny/__init__.py",
		python_interpreter(), dir, python);
	return system(command) == 0; /* NOLINT(cert-env33-c): a test's own words */
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st;
	(void)type;
	(void)at;
	return remove(path);
}

static void test_virtual_environments_bring_their_packages(void)
{
	static const char *const handlers[] = {"venv_app.py:from_venv", NULL};
	char dir[] = "/tmp/ramet-venv-XXXXXX";
	char python[64];
	struct ramet_err err = {0};
	struct host_world w;
	struct host_answer answer = {.nfds = 0};
	REQUIRE(mkdtemp(dir) != NULL);
	if (!make_venv(dir, python, sizeof(python))) {
		suite_skip("%s -m venv does not work", python_interpreter());
	} else {
		REQUIRE_OK(python_start(&w, python, NULL, NULL, &err), &err);
		REQUIRE_OK(host_load(w.control, handlers, &answer, &err), &err);
		CHECK_STR(answer.type, "loaded");
		host_answer_fini(&answer);
		CHECK_STR(ask(w.control, "from_venv", ""), "[17, true]");
		end_world(&w);
	}
	CHECK_INT(nftw(dir, remove_entry, 8, FTW_DEPTH | FTW_PHYS), 0);
}

SUITE_MAIN("python_load", TEST(test_ready_names_the_interpreter),
	TEST(test_handlers_in_files_packages_and_objects), TEST(test_wrong_handlers_are_named),
	TEST(test_failed_imports_are_told), TEST(test_traceback_of_an_import_begins_with_the_app),
	TEST(test_modules_path_and_init), TEST(test_what_is_wrong_with_modules_and_init),
	TEST(test_environment_of_the_app), TEST(test_virtual_environments_bring_their_packages))
