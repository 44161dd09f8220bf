/* How a working set is put together, page by page or run by run: for working_set*.c only. */
#ifndef RFORK_WORKING_SET_INTERNAL_H
#define RFORK_WORKING_SET_INTERNAL_H

#include "rfork/working_set.h"

#include <stdbool.h>

/* Lists that grow. */
struct working_set_builder {
	struct working_set *set;
	uint32_t touched_cap, written_cap;
	uint64_t *seen; /* bitmap of touched pages */
};

int working_set_builder_init(struct working_set_builder *builder, uint64_t image_pages);
void working_set_builder_fini(struct working_set_builder *builder);
/* true if the page is new */
bool working_set_builder_see(struct working_set_builder *builder, uint64_t page);
/* Both join what they add to the last run if it continues that; 0, or RAMET_ENOMEM. Runs beyond
 * WORKING_SET_MAX_RUNS are dropped. */
int working_set_builder_touch(struct working_set_builder *builder, uint64_t page);
int working_set_builder_write(
	struct working_set_builder *builder, uint64_t page, uint64_t count, uint32_t calls);
struct working_set *working_set_builder_steal(struct working_set_builder *builder);

#endif
