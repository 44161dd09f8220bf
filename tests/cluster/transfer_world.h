/* Two nodes that have bundles and files for each other, for tests of how those travel. */
#ifndef TESTS_CLUSTER_TRANSFER_WORLD_H
#define TESTS_CLUSTER_TRANSFER_WORLD_H

#include "base/err.h"
#include "base/wire.h"
#include "tests/cluster/bus_pair.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TRANSFER_TENANT 1234

struct bundles;
struct file_transfer;
struct workers;
struct app_version;

struct transfer_side {
	char dir[64];
	struct bundles *bundles;
	struct file_transfer *files;
	char shared[128]; /* the one file that peers may have */
	uint8_t shared_sha256[32];
	unsigned reads;
};

struct transfer_world {
	struct bus_pair pair;
	struct workers *workers;
	struct transfer_side side[2];
};

/* how something asynchronous ended */
struct transfer_outcome {
	unsigned count;
	struct ramet_err err;
	char path[512];
};

bool transfer_begin(struct transfer_world *f);
void transfer_end(struct transfer_world *f);

/* callbacks, whose user is a struct transfer_outcome */
void transfer_on_bundle(void *user, const struct ramet_err *error);
void transfer_on_file(void *user, const char *path, const struct ramet_err *error);

/* transfer_bundle - of one file with these bytes; its archive is the caller's */
struct app_version *transfer_bundle(const char *data, struct buf *ret_archive);
char *transfer_text(size_t len); /* malloc'ed */
/* transfer_share - a file with these bytes is what this side's peers may have from now on */
void transfer_share(struct transfer_side *side, const char *text, size_t len);
/* transfer_find_shared - what file_transfer asks of a side: that file, if it is what is wanted */
int transfer_find_shared(
	void *user, uint32_t uid, const uint8_t sha256[32], char *path, size_t cap);
/* transfer_fetch - by the second side, from a node; outcome outlives it */
void transfer_fetch(struct transfer_world *f, uint32_t node, const uint8_t *sha256, size_t len,
	struct transfer_outcome *outcome);

#endif
