/* Keeping the content store within its bounds: what was not used for longest goes first. A file
 * that is open or mapped lives on without its name, so nothing that runs is harmed. */
#ifndef CLUSTER_STORE_EVICT_H
#define CLUSTER_STORE_EVICT_H

#include "base/err.h"

#include <stdint.h>

struct store_evict;
struct workers;

/* store_evict_begin - remove what an interrupted run left half fetched, and all that was fetched
 * before the machine was started last (<dir>.boot says when that was); count the rest */
int store_evict_begin(const char *dir, uint64_t *ret_bytes, struct ramet_err *err);
/* store_evict - on a worker, until three quarters of max_bytes are left; then done is told what is
 * left, on the loop, unless forgotten. NULL: out of memory. */
struct store_evict *store_evict(struct workers *workers, const char *dir, uint64_t max_bytes,
	void (*done)(void *user, uint64_t bytes), void *user);
void store_evict_forget(struct store_evict *evict); /* NULL is fine */

#endif
