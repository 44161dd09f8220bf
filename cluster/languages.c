/* See languages.h. */
#include "cluster/languages.h"

#include "base/cleanup.h"
#include "cluster/installed.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

static const struct language languages[] = {
	/* its objects are counted, so their names can be given back */
	{.name = "python", .is_python = true, .is_own = true, .resets = true},
	/* nobody knows who uses memory that a variable pointed to */
	{.name = "native", .is_own = true},
	{.name = "js", .resets = true, .warms = true, .isolates = true},
	{.name = "lua", .resets = true, .warms = true, .isolates = true},
	{.name = "qjs", .resets = true, .warms = true, .isolates = true},
	{.name = "wasm", .compiles = true, .resets = true, .isolates = true},
};

const struct language *languages_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(languages); i++)
		if (strcmp(languages[i].name, name) == 0)
			return &languages[i];
	return NULL;
}

void languages_names(char *dst, size_t cap)
{
	size_t len = 0;
	dst[0] = '\0';
	for (size_t i = 0; i < ARRAY_LEN(languages) && len < cap; i++)
		len += (size_t)snprintf(dst + len, cap - len, "%s%s",
			i == 0				       ? ""
				: i + 1 < ARRAY_LEN(languages) ? ", "
							       : " and ",
			languages[i].name);
}

static bool is_the_process(const struct language *language, const struct language *own)
{
	return language->is_own && language->is_python == own->is_python;
}

int languages_engine(const struct language *language, const struct language *own, char *dst,
	size_t cap, struct ramet_err *err)
{
	char built[64];
	char installed[128];
	struct ramet_err where;
	dst[0] = '\0';
	if (is_the_process(language, own))
		return 0;
	snprintf(built, sizeof(built), "../lib/ramet/engine_%s.so", language->name);
	snprintf(installed, sizeof(installed), "../" RAMET_LIBDIR "/ramet/engine_%s.so",
		language->name);
	const char *const places[] = {built, installed};
	int rc = installed_find(places, ARRAY_LEN(places), "an engine", dst, cap, &where);
	return rc == 0 ? 0
		       : err_set(err, RAMET_ENOTSUP,
				 "language %s: this node's Ramet was built without its engine",
				 language->name);
}
