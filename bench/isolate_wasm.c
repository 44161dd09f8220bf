/* WebAssembly: instances of engine_wasm.so beside the C that wasm2c makes of the same module, with
 * wabt's own runtime. */
#include "bench/isolate.h"

#include "base/cleanup.h"
#include "base/clock.h"

#include "isolate_module.h" /* made by wasm2c */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define FILE_NAME "isolate.wasm"
#define TEXT_CAP 32

/* what the module imports: its output, where the caller wants it */
struct Z_ramet_instance_t {
	Z_isolate_instance_t *module;
	char text[TEXT_CAP];
};

void Z_rametZ_output(struct Z_ramet_instance_t *host, u32 ptr, u32 len, u32 flags)
{
	const wasm_rt_memory_t *memory = &host->module->w2c_memory;
	(void)flags;
	if (len < TEXT_CAP && (uint64_t)ptr + len <= memory->size)
		memcpy(host->text, memory->data + ptr, len);
}

/* --- bare --- */

struct instance {
	Z_isolate_instance_t module;
	struct Z_ramet_instance_t host;
};

static void instance_open(struct instance *instance)
{
	memset(instance, 0, sizeof(*instance));
	instance->host.module = &instance->module;
	Z_isolate_instantiate(&instance->module, &instance->host);
}

static int instance_call(
	struct instance *instance, const char *symbol, const char *input, struct ramet_err *err)
{
	u32 len = (u32)strlen(input);
	u32 ptr = Z_isolateZ_ramet_alloc(&instance->module, len);
	memcpy(instance->module.w2c_memory.data + ptr, input, len);
	memset(instance->host.text, 0, TEXT_CAP);
	u32 status = strcmp(symbol, "echo") == 0 ? Z_isolateZ_echo(&instance->module, ptr, len)
						 : Z_isolateZ_sum(&instance->module, ptr, len);
	return status == 0 ? 0 : err_set(err, RAMET_EUSER, "%s returned %u", symbol, status);
}

static int bare_one(
	const char *symbol, double input, double *ret_output, double *ret_us, struct ramet_err *err)
{
	struct instance instance;
	char text[TEXT_CAP];
	snprintf(text, sizeof(text), "%.0f", input);
	uint64_t begin = now_ns();
	instance_open(&instance);
	int rc = instance_call(&instance, symbol, text, err);
	if (rc == 0)
		*ret_output = strtod(instance.host.text, NULL);
	Z_isolate_free(&instance.module);
	*ret_us = (double)(now_ns() - begin) / 1e3;
	return rc;
}

static int bare_many(
	const char *symbol, double input, unsigned calls, double *ret_us, struct ramet_err *err)
{
	struct instance instance;
	char text[TEXT_CAP];
	int rc = 0;
	snprintf(text, sizeof(text), "%.0f", input);
	instance_open(&instance);
	uint64_t begin = now_ns();
	for (unsigned i = 0; rc == 0 && i < calls; i++)
		rc = instance_call(&instance, symbol, text, err);
	*ret_us = (double)(now_ns() - begin) / 1e3 / calls;
	Z_isolate_free(&instance.module);
	return rc;
}

static const struct isolate_bare bare = {.label = "wasm",
	.what = "instantiate, the same module's echo of the same text, free: wasm2c with wabt's "
		"runtime",
	.one = bare_one,
	.many = bare_many};

/* --- ours --- */

/* what rametd runs at a deployment; its last line is the directory of what it made */
static int compile(const char *root, char *dir, size_t cap, struct ramet_err *err)
{
	char command[1200];
	char line[1024];
	if (access(BENCH_BIN "/ramet-wasm", X_OK) < 0)
		return err_set(err, RAMET_ENOTFOUND, "this build has no ramet-wasm");
	snprintf(command, sizeof(command), "cd '%s' && exec '%s/ramet-wasm' '%s' %s", BENCH_MODULES,
		BENCH_BIN, root, FILE_NAME);
	FILE *said = popen(command, "re");
	if (!said)
		return err_errno(err, RAMET_EIO, "start ramet-wasm");
	dir[0] = '\0';
	while (fgets(line, sizeof(line), said))
		snprintf(dir, cap, "%.*s", (int)strcspn(line, "\n"), line);
	int status = pclose(said);
	if (status != 0)
		return err_set(
			err, RAMET_EIO, "ramet-wasm failed, with status %d: %s", status, dir);
	return 0;
}

static int run(const char *root, struct ramet_err *err)
{
	static struct plugin plugin;
	static char compiled[1024];
	int rc = compile(root, compiled, sizeof(compiled), err);
	const struct plugin_app app = {
		.dir = BENCH_MODULES,
		.handlers = {FILE_NAME ":echo", FILE_NAME ":sum"},
		.count = 2,
		.compiled = compiled,
	};
	const struct isolate_idle idle = {
		"wasm", "wasm", BENCH_MODULES, FILE_NAME ":echo", compiled, 1000};
	if (rc == 0)
		rc = isolate_idle(&idle, err);
	if (rc == 0)
		rc = plugin_open("wasm", &app, &plugin, err);
	if (rc == 0)
		rc = isolate_start(&plugin, &bare, err);
	return rc < 0 ? rc : isolate_calls(&plugin, &bare, err);
}

static void remove_all(const char *root)
{
	char command[128];
	snprintf(command, sizeof(command), "rm -rf '%s'", root);
	if (system(command) != 0)
		report_note("%s could not be removed", root);
}

int isolate_wasm(struct ramet_err *err)
{
	char root[] = "/tmp/ramet-bench-wasm-XXXXXX";
	if (!mkdtemp(root))
		return err_errno(err, RAMET_EIO, "make %s", root);
	wasm_rt_init();
	Z_isolate_init_module();
	int rc = run(root, err);
	remove_all(root);
	wasm_rt_free();
	return isolate_skip("wasm_start", rc, err);
}
