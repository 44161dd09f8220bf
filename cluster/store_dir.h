/* The node's store on disk, <dir>/store: making its directories, and serving chunks of its files to
 * peers. */
#ifndef CLUSTER_STORE_DIR_H
#define CLUSTER_STORE_DIR_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

struct bus_request;
struct workers;

/* store_dir_make - <dir>/store/<name>, with its parents, reachable for tenants but not listable;
 * the path into dst */
int store_dir_make(const char *dir, const char *name, char *dst, size_t cap, struct ramet_err *err);
/* store_dir_clean_apps - delete the versions that an earlier run left (and nothing else) */
int store_dir_clean_apps(const char *apps_dir, struct ramet_err *err);
/* store_reply_chunk - answer {total, data} with len bytes of a file, fewer at its end, or why not,
 * once a worker has read them: the disk may be slow. When it fails nothing is answered. */
int store_reply_chunk(struct workers *workers, struct bus_request *request, const char *path,
	uint64_t offset, uint64_t len, struct ramet_err *err);

#endif
