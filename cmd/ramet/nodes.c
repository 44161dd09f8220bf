/* ramet nodes: machines of the cluster. */
#include "cmd/ramet/list.h"
#include "cmd/ramet/verb.h"

#include <stddef.h>

static const struct column columns[] = {
	{"node", COLUMN_UINT, "NODE"},
	{"name", COLUMN_STR, "NAME"},
	{"state", COLUMN_STR, "STATE"},
	{"listen", COLUMN_STR, "LISTEN"},
	{"data", COLUMN_STR, NULL},
	{"transport", COLUMN_STR, "TRANSPORT"},
	{"pager", COLUMN_STR, "PAGER"},
	{"cores", COLUMN_UINT, "CORES"},
	{"mem", COLUMN_BYTES, "MEMORY"},
	{"instances", COLUMN_UINT, "INSTANCES"},
	{"templates", COLUMN_UINT, NULL},
	{"seeds", COLUMN_UINT, "SEEDS"},
	{"cache_bytes", COLUMN_BYTES, "CACHE"},
	{"calls", COLUMN_UINT, "CALLS"},
	{"version", COLUMN_STR, NULL},
	{"pid", COLUMN_UINT, NULL},
	{"uptime_ms", COLUMN_MS, "UP"},
	{"class", COLUMN_STR, "CLASS"},
	{NULL, 0, NULL},
};

int verb_nodes(int argc, char **argv)
{
	static const struct list_verb list = {"nodes",
		"List the nodes of the cluster. Forks are possible between nodes of one class.",
		columns, NULL};
	return list_run(&list, argc, argv);
}
