/* Files of the application that are open, and what their modules export. */
#include "runtime/wasm/wasm_internal.h"

#include <string.h>

bool wasm_file_is(const struct wasm_file *file, const char *named)
{
	const char *colon = strrchr(named, ':');
	return colon && (size_t)(colon - named) == file->len &&
		memcmp(named, file->name, file->len) == 0;
}

const struct wasm_function *wasm_file_find(const struct wasm_file *file, const char *name)
{
	for (unsigned i = 0; i < file->module->nfunctions; i++)
		if (strcmp(file->module->functions[i].name, name) == 0)
			return &file->module->functions[i];
	return NULL;
}

bool wasm_file_known(
	const struct ramet_engine *engine, const char *named, const struct wasm_file **ret_file)
{
	for (unsigned i = 0; i < engine->nfiles; i++) {
		if (wasm_file_is(&engine->files[i], named)) {
			*ret_file = &engine->files[i];
			return true;
		}
	}
	return false;
}
