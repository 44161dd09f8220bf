/* See wasm_world.h. */
#include "tests/runtime_host/wasm_world.h"

#include "tests/lib/suite.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#define MODULES "wasm_functions.wasm wasm_program.wasm wasm_tiny.wasm wasm_large.wasm"

/* --- compiling --- */

static char roots[32][64];
static unsigned nroots;

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static void remove_roots(void)
{
	while (nroots > 0)
		(void)nftw(roots[--nroots], remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

const char *wasm_root(void)
{
	if (nroots == 0)
		(void)atexit(remove_roots);
	if (!CHECK(nroots < sizeof(roots) / sizeof(roots[0])))
		return "/nowhere";
	char *root = roots[nroots++];
	snprintf(root, sizeof(roots[0]), "/tmp/ramet-test-wasm-XXXXXX");
	return CHECK(mkdtemp(root) != NULL) ? root : "/nowhere";
}

int wasm_shell(const char *command, struct wasm_said *ret)
{
	*ret = (struct wasm_said){.last = ret->text};
	FILE *out = popen(command, "r");
	if (!CHECK(out != NULL))
		return -1;
	size_t n = fread(ret->text, 1, sizeof(ret->text) - 1, out);
	int status = pclose(out);
	while (n > 0 && ret->text[n - 1] == '\n')
		ret->text[--n] = '\0';
	char *line = strrchr(ret->text, '\n');
	ret->last = line ? line + 1 : ret->text;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

int wasm_compile(const char *dir, const char *root, const char *modules, struct wasm_said *ret)
{
	char command[1024];
	const char *bin = getenv("RAMET_BIN");
	snprintf(command, sizeof(command), "cd '%s' && exec '%s/ramet-wasm' '%s' %s 2>&1", dir,
		bin ? bin : ".", root, modules);
	return wasm_shell(command, ret);
}

const char *wasm_compiled(void)
{
	static struct wasm_said said;
	static bool done;
	if (!done) {
		int status = wasm_compile(HOST_FUNCTIONS_DIR, wasm_root(), MODULES, &said);
		if (!CHECK_INT(status, 0))
			fprintf(stderr, "%s\n", said.text);
		done = true;
	}
	return said.last;
}

/* --- hosts --- */

static int load(int control, const char *const *handlers, const struct host_config *config,
	struct ramet_err *err)
{
	struct host_answer answer;
	int rc = host_load_with(control, handlers, config, &answer, err);
	if (rc == 0 && strcmp(answer.type, "loaded") != 0) {
		rc = RAMET_EIO;
		snprintf(err->msg, sizeof(err->msg), "%s: %.300s", answer.type,
			answer_error(&answer, "message"));
	}
	host_answer_fini(&answer);
	return rc;
}

bool wasm_open(struct host_world *w, const char *const *handlers, struct host_config config)
{
	struct ramet_err err = {0};
	config.languages[0] = (struct host_language){"wasm", ENGINE_WASM};
	config.lang = "wasm";
	if (!config.compiled)
		config.compiled = wasm_compiled();
	int rc = host_start(w, &err);
	if (rc == 0)
		rc = load(w->control, handlers, &config, &err);
	return suite_check_ok(rc, &err, "start a host", __FILE__, __LINE__);
}

void wasm_close(struct host_world *w)
{
	struct ramet_err err = {0};
	CHECK_INT(host_say(w->control, "exit", &err), 0);
	CHECK_INT(host_end(w), 0);
}

bool wasm_open_clones(struct clone_world *w, const char *const *handlers, struct host_config config)
{
	*w = (struct clone_world){
		.fork = {.uffd = -1, .control = -1, .request = {.pidfd = -1, .ready_fd = -1}}};
	return wasm_open(&w->host, handlers, config) && clone_world_capture(w);
}

void wasm_check_failure(int control, const char *function, const struct wasm_failure *expected)
{
	const struct host_request request = {.function = function, .text = "1"};
	struct ramet_err err = {0};
	struct host_answer answer;
	REQUIRE_OK(host_call(control, &request, &answer, &err), &err);
	CHECK(!answer_ok(&answer));
	CHECK_STR(answer_error(&answer, "code"), expected->code);
	CHECK_STR(answer_error(&answer, "type"), expected->type);
	CHECK_STR(answer_error(&answer, "message"), expected->message);
	host_answer_fini(&answer);
}
