/* ramet functions: what is deployed. */
#include "cmd/ramet/list.h"
#include "cmd/ramet/verb.h"

#include <stddef.h>

static const struct column columns[] = {
	{"function", COLUMN_STR, "FUNCTION"},
	{"app", COLUMN_STR, "APP"},
	{"lang", COLUMN_STR, "LANG"},
	{"version", COLUMN_VERSION, "VERSION"},
	{"generation", COLUMN_UINT, NULL},
	{"uid", COLUMN_UINT, NULL},
	{"handler", COLUMN_STR, NULL},
	{"fresh", COLUMN_STR, NULL},
	{"idempotent", COLUMN_BOOL, NULL},
	{"seeds", COLUMN_UINT, "SEEDS"},
	{"instances", COLUMN_UINT, "INSTANCES"},
	{"calls", COLUMN_UINT, "CALLS"},
	{"failed", COLUMN_UINT, "FAILED"},
	{"warm", COLUMN_UINT, "WARM"},
	{"local_fork", COLUMN_UINT, "LOCAL"},
	{"remote_fork", COLUMN_UINT, "REMOTE"},
	{"cold", COLUMN_UINT, "COLD"},
	{NULL, 0, NULL},
};

static const struct column version_columns[] = {
	{"function", COLUMN_STR, "FUNCTION"},
	{"app", COLUMN_STR, "APP"},
	{"uid", COLUMN_UINT, NULL},
	{"version", COLUMN_VERSION, "VERSION"},
	{"state", COLUMN_STR, "STATE"},
	{"latest", COLUMN_BOOL, "LATEST"},
	{"handler", COLUMN_STR, "HANDLER"},
	{NULL, 0, NULL},
};

int verb_functions(int argc, char **argv)
{
	static const struct list_verb versions = {"versions",
		"List functions with the versions that they can go back to (ramet rollback).",
		version_columns, NULL};
	static const struct list_verb list = {"functions",
		"List functions, and how the instances of their calls came to be; with --versions "
		"what "
		"they can go back to.",
		columns, &versions};
	return list_run(&list, argc, argv);
}
