/* Working sets from peers. */
#include "tests/fuzz/fuzz.h"

#include "rfork/working_set.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	auto_working_set struct working_set *set = NULL;
	uint64_t image_pages = len > 0 ? (uint64_t)data[0] << 4 : 0;
	if (len < 1 || working_set_decode(data + 1, len - 1, image_pages, &set, NULL) < 0)
		return 0;
	uint64_t count = working_set_pages(set);
	if (count > image_pages)
		abort();
	uint32_t *pages = calloc(count + 1, sizeof(*pages));
	if (!pages)
		return 0;
	working_set_flatten(set, pages);
	for (uint64_t i = 0; i < count; i++)
		if (pages[i] >= image_pages)
			abort();
	free(pages);
	return 0;
}
