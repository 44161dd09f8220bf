/* Removing a directory with all that is in it. */
#ifndef CMD_RAMET_REMOVE_TREE_H
#define CMD_RAMET_REMOVE_TREE_H

#include "base/err.h"

/* remove_tree - never follows symbolic links and never descends into another file system: what is
 * mounted inside is unmounted first, if that is allowed. A path that does not exist is fine. */
int remove_tree(const char *path, struct ramet_err *err);

#endif
