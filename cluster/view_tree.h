/* The files of a seed that a node lacks, as a directory: for machines without FUSE, where all of
 * them must be here before the first fork. Made and removed on workers. */
#ifndef CLUSTER_VIEW_TREE_H
#define CLUSTER_VIEW_TREE_H

#include "base/err.h"

#include <stdint.h>

struct seed;
struct view_tree;

/* view_tree_clean - remove what an earlier run left */
void view_tree_clean(const char *node_dir);
/* view_tree_begin - every file that the seed's manifest lacks here is copied from the store to its
 * place; done is told the directory (valid during the call), or why there is none, once, unless the
 * tree is dropped before */
int view_tree_begin(struct seed *seed, uint64_t id,
	void (*done)(void *user, int dir_fd, const struct ramet_err *error), void *user,
	struct view_tree **ret_tree, struct ramet_err *err);
void view_tree_drop(struct view_tree *tree); /* removes it; NULL is fine */

#endif
