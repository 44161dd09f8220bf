/* Isolates of an engine, beside those of the bare language: each round makes a number of them in a
 * new process, with the function loaded and called once, and then the others in another one. */
#include "bench/isolate.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "bench/engine.h"
#include "bench/report.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define ROUNDS 15
#define WARM_UP 2

struct start {
	const char *language, *handler, *compiler;
	unsigned count; /* alive at once */
	int (*bare)(const char *dir, unsigned count, double *ret_ns);
};

static int ours(
	const struct start *start, const char *compiled, double *ret_ns, struct ramet_err *err)
{
	struct engine engine = {0};
	int rc = engine_open(start->language, &engine, err);
	if (rc < 0)
		return rc;
	uint64_t begin = now_ns();
	rc = engine_load(&engine,
		&(struct engine_app){BENCH_APPS "/isolate", start->handler, compiled, start->count},
		err);
	for (unsigned i = 0; rc == 0 && i < start->count; i++)
		rc = engine_call(&engine, i, ISOLATE_INPUT, ISOLATE_OUTPUT, err);
	*ret_ns = (double)(now_ns() - begin) / start->count;
	return rc;
}

/* in a process of its own; compiled and err are ours() alone */
static int in_child(const struct start *start, bool bare, const char *compiled, double *ret_ns,
	struct ramet_err *err)
{
	int fds[2];
	if (pipe(fds) < 0)
		return err_errno(err, RAMET_EIO, "pipe");
	pid_t pid = fork();
	if (pid == 0) {
		double ns = 0;
		int rc = bare ? start->bare(BENCH_APPS "/isolate", start->count, &ns)
			      : ours(start, compiled, &ns, err);
		if (rc < 0)
			fprintf(stderr, "%s: %s\n", start->language, bare ? "bare" : err->msg);
		_exit(rc == 0 && write(fds[1], &ns, sizeof(ns)) == (ssize_t)sizeof(ns) ? 0 : 1);
	}
	close(fds[1]);
	bool read_all = read(fds[0], ret_ns, sizeof(*ret_ns)) == (ssize_t)sizeof(*ret_ns);
	int status = -1;
	close(fds[0]);
	waitpid(pid, &status, 0);
	return read_all && status == 0
		? 0
		: err_set(err, RAMET_EIO, "%s: isolates could not be made", start->language);
}

static int measure(const struct start *start, const char *compiled, struct ramet_err *err)
{
	CLEANUP(samples_fini) struct samples us = {0}, theirs = {0};
	char name[32], baseline[96];
	for (int i = -WARM_UP; i < ROUNDS; i++) {
		double mine = 0;
		double bare = 0;
		int rc = in_child(start, false, compiled, &mine, err);
		if (rc == 0)
			rc = in_child(start, true, NULL, &bare, err);
		if (rc < 0)
			return rc;
		if (i < 0)
			continue;
		samples_add(&us, mine / 1e3);
		samples_add(&theirs, bare / 1e3);
	}
	snprintf(name, sizeof(name), "%s_start",
		strcmp(start->language, "js") == 0 ? "v8" : start->language);
	snprintf(baseline, sizeof(baseline),
		"the bare engine: %u isolates with the function, each called once", start->count);
	report_samples(name, "us", &us, baseline, &theirs);
	return 0;
}

#ifdef BENCH_LUA
int isolate_lua(struct ramet_err *err)
{
	const struct start start = {.language = "lua",
		.handler = "double.lua:handler",
		.count = 1000,
		.bare = bare_lua};
	return measure(&start, NULL, err);
}
#else
int isolate_lua(struct ramet_err *err)
{
	(void)err;
	report_note("lua_start: this build has no LuaJIT");
	return 0;
}
#endif

#ifdef BENCH_V8
int isolate_v8(struct ramet_err *err)
{
	const struct start start = {
		.language = "js", .handler = "double.js:handler", .count = 200, .bare = bare_v8};
	return measure(&start, NULL, err);
}
#else
int isolate_v8(struct ramet_err *err)
{
	(void)err;
	report_note("v8_start: this build has no V8");
	return 0;
}
#endif

#ifdef BENCH_WASM
/* the directory that ramet-wasm has made of the module */
static int compile(char *dst, size_t cap, struct ramet_err *err)
{
	char command[1024], root[] = "/tmp/ramet-bench-wasm-XXXXXX", line[512] = "";
	if (!mkdtemp(root))
		return err_errno(err, RAMET_EIO, "mkdtemp");
	snprintf(command, sizeof(command), "cd '%s' && '%s/ramet-wasm' '%s' double.wasm",
		BENCH_WASM, BENCH_BIN, root);
	FILE *out = popen(command, "r");
	dst[0] = '\0';
	while (out && fgets(line, sizeof(line), out))
		snprintf(dst, cap, "%.*s", (int)strcspn(line, "\n"), line);
	return out && pclose(out) == 0 && dst[0]
		? 0
		: err_set(err, RAMET_EIO, "ramet-wasm failed: %s", dst);
}

int isolate_wasm(struct ramet_err *err)
{
	char compiled[512], command[600];
	const struct start start = {.language = "wasm",
		.handler = "double.wasm:handler",
		.count = 1000,
		.bare = bare_wasm};
	int rc = compile(compiled, sizeof(compiled), err);
	if (rc == 0)
		rc = measure(&start, compiled, err);
	snprintf(command, sizeof(command), "rm -rf /tmp/ramet-bench-wasm-*");
	return system(command) == 0 ? rc : err_set(err, RAMET_EIO, "%s", command);
}
#else
int isolate_wasm(struct ramet_err *err)
{
	(void)err;
	report_note("wasm_start: wabt is not here");
	return 0;
}
#endif
