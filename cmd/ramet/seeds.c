/* ramet seeds: images of initialised processes, and where they are. */
#include "cmd/ramet/list.h"
#include "cmd/ramet/verb.h"

#include <stddef.h>

static const struct column columns[] = {
	{"seed", COLUMN_VERSION, "SEED"},
	{"app", COLUMN_STR, "APP"},
	{"version", COLUMN_VERSION, "VERSION"},
	{"generation", COLUMN_UINT, "GEN"},
	{"epoch", COLUMN_UINT, NULL},
	{"node", COLUMN_UINT, "NODE"},
	{"role", COLUMN_STR, "ROLE"},
	{"source_node", COLUMN_NODE, "FROM"},
	{"image_bytes", COLUMN_BYTES, "IMAGE"},
	{"cached_bytes", COLUMN_BYTES, "CACHED"},
	{"own_bytes", COLUMN_BYTES, "OWN"},
	{"working_set_bytes", COLUMN_BYTES, "WORKING SET"},
	{"template", COLUMN_BOOL, NULL},
	{"instances", COLUMN_UINT, "INSTANCES"},
	{"class", COLUMN_STR, NULL},
	{NULL, 0, NULL},
};

int verb_seeds(int argc, char **argv)
{
	static const struct list_verb list = {
		"seeds", "List seeds: images of initialised apps, by node.", columns, NULL};
	return list_run(&list, argc, argv);
}
