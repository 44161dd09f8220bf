/* Where shared objects lie in memory, by what the dynamic linker says of them, and having their
 * pages there before they are needed. */
#include "runtime/native/native_pages.h"

#include <dlfcn.h>
#include <link.h>
#include <stdint.h>
#include <sys/mman.h>

#define PAGE 4096
/* of one range: a large one is touched as it is needed, since what a call needs of it is not known
 */
#define POPULATE_MAX 131072
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#endif

struct search {
	uintptr_t base;
	struct native_range *ranges;
	unsigned count;
};

static void add_range(struct search *search, const ElfW(Phdr) * header)
{
	uintptr_t begin = (search->base + header->p_vaddr) / PAGE * PAGE;
	uintptr_t end = (search->base + header->p_vaddr + header->p_memsz + PAGE - 1) / PAGE * PAGE;
	if (header->p_type != PT_LOAD || search->count == NATIVE_RANGES)
		return;
	search->ranges[search->count++] = (struct native_range){
		.begin = (void *)begin, /* NOLINT(performance-no-int-to-ptr) */
		.len = end - begin,
	};
}

static int visit(struct dl_phdr_info *info, size_t size, void *arg)
{
	struct search *search = arg;
	(void)size;
	if (info->dlpi_addr != search->base)
		return 0;
	for (unsigned i = 0; i < info->dlpi_phnum; i++)
		add_range(search, &info->dlpi_phdr[i]);
	return 1;
}

unsigned native_find_ranges(void *handle, struct native_range ranges[NATIVE_RANGES])
{
	struct link_map *map = NULL;
	struct search search = {.ranges = ranges};
	if (dlinfo(handle, RTLD_DI_LINKMAP, &map) != 0)
		return 0;
	search.base = map->l_addr;
	(void)dl_iterate_phdr(visit, &search);
	return search.count;
}

void native_populate(const struct native_range *ranges, unsigned count)
{
	for (unsigned i = 0; i < count; i++) /* Linux before 5.14 does not know it */
		if (ranges[i].len <= POPULATE_MAX)
			(void)madvise(ranges[i].begin, ranges[i].len, MADV_POPULATE_READ);
}
