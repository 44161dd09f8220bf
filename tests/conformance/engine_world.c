/* Hosts of the engine under test. */
#include "base/cleanup.h"
#include "base/err.h"
#include "tests/conformance/engine_cases.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#define MAX_HANDLERS 1024
#define HANDLER_MAX 96

static const char *const names[] = {"echo", "count", "total", "fail", "spin", "hoard", "large",
	"deep", "draw", "now", "tell", "loop"};

static int load(int control, const struct engine_options *options, struct ramet_err *err)
{
	static char texts[MAX_HANDLERS][HANDLER_MAX];
	const char *handlers[MAX_HANDLERS + 1] = {NULL};
	unsigned count = 0;
	struct host_answer answer = {.nfds = 0};
	struct host_config config = {.heap = options->heap,
		.resets = options->resets,
		.isolates = !(engine_spec.lacks & LACKS_ISOLATES)};
	if (engine_spec.compiled)
		config.compiled = engine_spec.compiled();
	if (engine_spec.library)
		config.languages[0] = (struct host_language){engine_spec.name, engine_spec.library};
	for (; count < ARRAY_LEN(names); count++)
		snprintf(texts[count], HANDLER_MAX, "%s:%s", engine_spec.file, names[count]);
	for (unsigned i = 0; i < options->copies && count < MAX_HANDLERS; i++, count++)
		snprintf(texts[count], HANDLER_MAX, "c%u=%s:count", i, engine_spec.file);
	for (unsigned i = 0; i < count; i++)
		handlers[i] = texts[i];
	int rc = host_load_with(control, handlers, &config, &answer, err);
	if (rc == 0 && strcmp(answer.type, "loaded") != 0)
		rc = err_set(
			err, RAMET_EIO, "%s: %s", answer.type, answer_error(&answer, "message"));
	host_answer_fini(&answer);
	return rc;
}

/* as ramet-spawn does it, in the new process */
static int load_filter(const void *arg)
{
	const struct syscall_filter *filter = arg;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -1;
	return syscall_filter_load(filter);
}

const struct syscall_filter *engine_filter(enum syscall_set set)
{
	static struct syscall_filter filters[SYSCALL_SETS];
	struct ramet_err err = {0};
	if (engine_spec.lacks & LACKS_ISOLATES)
		set = SYSCALLS_ANY;
	if (!filters[set].filter)
		CHECK_INT(syscall_filter_build(set, &filters[set], &err), 0);
	return &filters[set];
}

static int start(struct host_world *w, struct ramet_err *err)
{
	const struct host_program program = {.name = "ramet-host",
		.before_exec = load_filter,
		.arg = engine_filter(SYSCALLS_ISOLATES_BEGIN)};
	return engine_spec.start ? engine_spec.start(w, err) : host_start_program(w, &program, err);
}

bool engine_open(struct host_world *w, const struct engine_options *options)
{
	struct ramet_err err = {0};
	int rc = start(w, &err);
	if (rc == 0)
		rc = load(w->control, options, &err);
	return suite_check_ok(rc, &err, "start a host", __FILE__, __LINE__);
}

void engine_close(struct host_world *w)
{
	struct ramet_err err = {0};
	CHECK_INT(host_say(w->control, "exit", &err), 0);
	CHECK_INT(host_end(w), 0);
}

bool engine_lacks(unsigned what)
{
	if (engine_spec.lacks & what)
		suite_skip("%s does not have that", engine_spec.name);
	return engine_spec.lacks & what;
}

bool engine_fails(int control, const struct host_request *request, const char *code)
{
	struct ramet_err err = {0};
	struct host_answer answer = {.nfds = 0};
	int rc = host_call(control, request, &answer, &err);
	bool failed = suite_check_ok(rc, &err, request->function, __FILE__, __LINE__) &&
		CHECK(!answer_ok(&answer));
	if (failed && code)
		CHECK_STR(answer_error(&answer, "code"), code);
	host_answer_fini(&answer);
	return failed;
}

uint64_t engine_resident(pid_t pid)
{
	char path[64];
	char line[128];
	unsigned long long kib = 0;
	uint64_t sum = 0;
	snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", (int)pid);
	FILE *file = fopen(path, "re");
	if (!CHECK(file != NULL))
		return 0;
	while (fgets(line, sizeof(line), file))
		if (sscanf(line, "Private_Clean: %llu", &kib) == 1 ||
			sscanf(line, "Private_Dirty: %llu", &kib) == 1)
			sum += kib << 10;
	fclose(file);
	return sum;
}
