/* How a shadow finds out what clone(2) did not copy: the kernel takes every such mapping off the
 * child's size, so two numbers tell whether there is one, and only then is it looked for. */
#include "rfork/safepoint_maps.h"

#include "rfork/safepoint_text.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LINE_BYTES 512

uint64_t safepoint_maps_pages(void)
{
	char text[64];
	int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	ssize_t n = read(fd, text, sizeof(text) - 1);
	close(fd);
	text[n > 0 ? n : 0] = '\0';
	return strtoull(text, NULL, 10);
}

/* "7f00-7f10 rw-p 00000000 00:00 0    /path" */
static void take_mapping(const char *line, struct safepoint_missing *missing)
{
	const char *at = line;
	missing->start = strtoull(line, NULL, 16);
	for (int field = 0; field < 5 && at; field++)
		at = strchr(at + 1, ' ');
	while (at && *at == ' ')
		at++;
	snprintf(missing->name, sizeof(missing->name), "%s", at ? at : "");
}

void safepoint_maps_compare(uint64_t pages, pid_t host, struct safepoint_missing *ret)
{
	uint64_t ours = safepoint_maps_pages();
	memset(ret, 0, sizeof(*ret));
	if (pages == 0 || ours >= pages)
		return;
	ret->pages = pages - ours;

	static struct text smaps;
	static char line[LINE_BYTES], mapping[LINE_BYTES];
	snprintf(line, sizeof(line), "/proc/%d/smaps", (int)host);
	if (!text_open(&smaps, line))
		return;
	while (text_line(&smaps, line, sizeof(line))) {
		if (line[0] < 'A' || line[0] > 'Z') {
			memcpy(mapping, line, sizeof(mapping));
		} else if (strncmp(line, "VmFlags:", 8) == 0 && strstr(line, " dc")) {
			take_mapping(mapping, ret);
			break;
		}
	}
	text_close(&smaps);
}
