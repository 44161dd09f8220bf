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

int verb_functions(int argc, char **argv)
{
	static const struct list_verb list = {"functions",
		"List functions, and how the instances of their calls came to be.", columns};
	return list_run(&list, argc, argv);
}
