/* The files of deployed versions on this node, and how they get here. A version travels as an
 * archive: one msgpack map {meta, files} whose SHA-256 is the version's name; it is kept as
 * <dir>/store/apps/<version>.bundle and unpacked to <dir>/store/apps/<version>/, which belongs to
 * the tenant (directories 0500, files 0400 or 0500). Inside sandboxes that directory appears as
 * /ramet/apps/<version>. Archives come from clients and peers: every path and length is checked
 * before use. */
#ifndef CLUSTER_BUNDLE_H
#define CLUSTER_BUNDLE_H

#include "base/err.h"
#include "base/loop.h"
#include "base/wire.h"
#include "cluster/bundle_archive.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BUNDLE_CHUNK (1u << 20)
#define BUNDLE_PUSH_MAX (1u << 20) /* archives up to this size go to all peers with the deploy */

struct bundles;
struct bundle_fetch;

struct bus;
struct bus_request;
struct workers;

struct bundles_options {
	const char
		*dir; /* the node's directory; what an earlier run left in its store is removed */
	struct loop *loop;
	struct bus *bus;
	struct workers *workers; /* unpacking and hashing happen there */
};
int bundles_create(
	const struct bundles_options *options, struct bundles **ret_bundles, struct ramet_err *err);
void bundles_destroy(
	struct bundles *bundles); /* removes what is deployed from the store; NULL is fine */

bool bundles_have(const struct bundles *bundles, const char *version);
/* the directory on this node ("<dir>/store/apps/<version>"), into dst */
int bundles_path(const struct bundles *bundles, const char *version, char *dst, size_t cap);

typedef void bundle_done_fn(
	void *user, const struct ramet_err *error); /* error NULL: it is there */
/* bundles_add - install an archive (its memory is taken over) on a worker; fn is called later, on
 * the control loop, unless *ret_add is forgotten before (ret_add may be NULL) */
int bundles_add(struct bundles *bundles, const char *version, struct buf *archive,
	bundle_done_fn *fn, void *user, struct bundle_fetch **ret_add, struct ramet_err *err);
/* bundles_fetch - have it here: at once if it is, else from one of the nodes given, tried in order.
 * Fetches of one version are shared. fn is called later, exactly once, on the control loop, unless
 * *ret_fetch is forgotten before. */
int bundles_fetch(struct bundles *bundles, const char *version, const uint32_t *nodes,
	unsigned nnodes, bundle_done_fn *fn, void *user, struct bundle_fetch **ret_fetch,
	struct ramet_err *err);
void bundle_fetch_forget(struct bundle_fetch *fetch); /* fn will not be called; NULL is fine */
void bundles_remove(struct bundles *bundles,
	const char *version); /* delete archive and directory, on a worker */

/* bus handlers: a chunk of an archive for a peer; an archive pushed by a peer */
void bundles_on_read(
	struct bundles *bundles, struct bus_request *request, const struct wire_value *body);
void bundles_on_push(
	struct bundles *bundles, struct bus_request *request, const struct wire_value *body);
void bundles_push(
	struct bundles *bundles, uint32_t node, const char *version, const struct buf *archive);

#endif
