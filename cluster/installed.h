/* Files of Ramet itself, found from where this program lies: in a build tree, or installed. */
#ifndef CLUSTER_INSTALLED_H
#define CLUSTER_INSTALLED_H

#include "base/err.h"

#include <stddef.h>

/* installed_find - the first of places that is there, relative to the directory of this program; name
 * is for messages. RAMET_ENOTFOUND: none is */
int installed_find(const char *const *places, size_t nplaces, const char *name, char *dst,
	size_t cap, struct ramet_err *err);

#endif
