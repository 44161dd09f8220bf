/* ramet ps: instances. */
#include "cmd/ramet/list.h"
#include "cmd/ramet/verb.h"

#include <stddef.h>

static const struct column columns[] = {
	{"node", COLUMN_UINT, "NODE"},
	{"instance", COLUMN_UINT, "INSTANCE"},
	{"pid", COLUMN_UINT, "PID"},
	{"function", COLUMN_STR, "FUNCTION"},
	{"version", COLUMN_VERSION, NULL},
	{"state", COLUMN_STR, "STATE"},
	{"start", COLUMN_STR, "START"},
	{"source_node", COLUMN_NODE, "FROM"},
	{"call", COLUMN_STR, NULL},
	{"rank", COLUMN_UINT, NULL},
	{"calls", COLUMN_UINT, "CALLS"},
	{"rss", COLUMN_BYTES, "MEMORY"},
	{"uptime_ms", COLUMN_MS, "UP"},
	{"uid", COLUMN_UINT, "UID"},
	{NULL, 0, NULL},
};

int verb_ps(int argc, char **argv)
{
	static const struct list_verb list = {
		"ps", "List instances: processes that serve calls.", columns, NULL};
	return list_run(&list, argc, argv);
}
