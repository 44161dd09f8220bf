/* Pages by messages of the control plane (seed.pages): the last resort, for when a peer lives and
 * its memory cannot be read. Few requests at a time; a peer that says it is asked too much is asked
 * again for a second. */
#ifndef CLUSTER_PAGE_SOURCE_BUS_H
#define CLUSTER_PAGE_SOURCE_BUS_H

#include "base/err.h"
#include "base/wire.h"
#include "rfork/page_source.h"

#include <stdint.h>

struct node;

struct page_source_bus {
	struct node *node; /* ours; outlives the source */
	struct loop *loop; /* the pager's */
	uint32_t peer;
	/* the map of a request but for its last pair, which is added: the list of pages */
	const struct buf *request;
	unsigned rank;
};
/* page_source_bus_create - the request is copied */
int page_source_bus_create(
	const struct page_source_bus *spec, struct page_source **ret_source, struct ramet_err *err);

#endif
