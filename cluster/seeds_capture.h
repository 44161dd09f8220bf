/* A capture under way: from a host's answer to an image, on a worker thread. */
#ifndef CLUSTER_SEEDS_CAPTURE_H
#define CLUSTER_SEEDS_CAPTURE_H

#include "base/err.h"
#include "base/wire.h"
#include "cluster/seed_key.h"
#include "rfork/capture.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct instance;
struct seed_base;
struct seed_capture;
struct seeds;

struct seed_captured {
	struct image *image; /* the callback takes it by setting it to NULL */
	struct seed_key key;
	struct capture_stats stats;
};
/* captured NULL: error says why there is none */
typedef void seed_captured_fn(
	void *user, struct seed_captured *captured, const struct ramet_err *error);

/* seed_capture_begin - body, fds: the host's `captured`; descriptors that are kept are set to -1.
 * base: the seed is layered on it, or NULL; referenced as long as needed. fn comes later, once,
 * unless forgotten. */
int seed_capture_begin(struct seeds *seeds, const struct instance *host, uint64_t epoch,
	struct seed_base *base, const struct wire_value *body, int *fds, unsigned nfds,
	seed_captured_fn *fn, void *user, struct seed_capture **ret_capture, struct ramet_err *err);
void seed_capture_forget(struct seed_capture *capture); /* NULL is fine */

#endif
