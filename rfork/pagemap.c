/* /proc/<pid>/pagemap. Documented in Documentation/admin-guide/mm/pagemap.rst. */
#include "rfork/pagemap.h"

#include "base/cleanup.h"
#include "rfork/descriptor.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

int pagemap_open(struct pagemap *map, pid_t pid, struct ramet_err *err)
{
	char path[48];
	snprintf(path, sizeof(path), "/proc/%d/pagemap", (int)pid);
	map->first = map->count = 0;
	map->fd = open(path, O_RDONLY | O_CLOEXEC);
	return map->fd < 0 ? err_errno(err, RAMET_EIO, "open %s", path) : 0;
}

void pagemap_close(struct pagemap *map)
{
	close_reset(&map->fd);
}

/* from page on, to the end of what the kernel walks for it */
static int fill(struct pagemap *map, uint64_t page, uint64_t most, struct ramet_err *err)
{
	uint64_t end = page + MIN(most, (uint64_t)PAGEMAP_ENTRIES - PAGEMAP_WALK);
	uint64_t want = (end + PAGEMAP_WALK - 1) / PAGEMAP_WALK * PAGEMAP_WALK - page;
	ssize_t n;
	map->count = 0;
	do
		n = pread(map->fd, map->entries, want * sizeof(map->entries[0]),
			(off_t)(page * sizeof(map->entries[0])));
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return err_errno(err, RAMET_EIO, "read page tables at %#" PRIx64,
			(uint64_t)(page * RFORK_PAGE));
	map->first = page;
	map->count = (uint64_t)n / sizeof(map->entries[0]);
	return map->count ? 0 : err_set(err, RAMET_ENOTFOUND, "the process has ended");
}

int pagemap_look(struct pagemap *map, uint64_t page, uint64_t most, const uint64_t **ret_entries,
	uint64_t *ret_count, struct ramet_err *err)
{
	if (page < map->first || page - map->first >= map->count) {
		int rc = fill(map, page, most, err);
		if (rc < 0)
			return rc;
	}
	*ret_entries = map->entries + (page - map->first);
	*ret_count = MIN(most, map->count - (page - map->first));
	return 0;
}
