/* Files of the application: the shared objects that ramet-wasm made of them. */
#include "runtime/wasm/wasm_internal.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#define FAIL(engine, code, ...) \
	(snprintf((engine)->message, sizeof((engine)->message), __VA_ARGS__), (code))

static int open_object(struct ramet_engine *engine, const char *path, struct wasm_file *file)
{
	void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (!handle)
		return FAIL(engine, RAMET_EUSER, "%.*s was not compiled for this version: %s",
			(int)file->len, file->name, dlerror());
	const struct wasm_module *module = dlsym(handle, WASM_MODULE_SYMBOL);
	if (!module || module->abi != WASM_MODULE_ABI)
		return FAIL(engine, RAMET_EVERSION,
			"%.3000s was compiled for another version of Ramet: deploy it again", path);
	module->init(&wasm_host, engine->stack_end);
	if (wasm_types_failed())
		return FAIL(engine, RAMET_ENOMEM, "no memory for the types of %.*s", (int)file->len,
			file->name);
	file->module = module;
	return 0;
}

int wasm_file_open(struct ramet_engine *engine, const char *name, size_t len,
	const struct wasm_file **ret_file)
{
	char path[PATH_MAX];
	if (wasm_file_known(engine, name, ret_file))
		return 0;
	if (!engine->load->compiled)
		return FAIL(engine, RAMET_EINTERNAL,
			"the application's WebAssembly was not compiled when it was deployed");
	struct wasm_file *file = &engine->files[engine->nfiles];
	*file = (struct wasm_file){.name = name, .len = len};
	int n = snprintf(path, sizeof(path), "%s/%.*s.so", engine->load->compiled, (int)len, name);
	if (n < 0 || n >= (int)sizeof(path))
		return FAIL(engine, RAMET_EUSER, "the name of a file is too long");
	int rc = open_object(engine, path, file);
	if (rc < 0)
		return rc;
	engine->nfiles++;
	*ret_file = file;
	return 0;
}
