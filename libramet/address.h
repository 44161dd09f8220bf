/* Where a cluster of this machine lives: its directory, and the socket of its first node. */
#ifndef LIBRAMET_ADDRESS_H
#define LIBRAMET_ADDRESS_H

#include "base/err.h"

#include <stddef.h>

/* address_dir - RAMET_DIR, else /run/ramet for root, else $XDG_RUNTIME_DIR/ramet, else
 * /tmp/ramet-<uid> */
int address_dir(char *dst, size_t cap, struct ramet_err *err);
/* address_socket - the client socket of a node of the cluster in dir */
int address_socket(const char *dir, unsigned node, char *dst, size_t cap, struct ramet_err *err);
/* address_default - RAMET_SOCKET, else the first node's socket in address_dir() */
int address_default(char *dst, size_t cap, struct ramet_err *err);

#endif
