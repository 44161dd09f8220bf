/* Text files of /proc without stdio: a host's allocator may be in any state. Part of a host. */
#ifndef RFORK_SAFEPOINT_TEXT_H
#define RFORK_SAFEPOINT_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct text {
	int fd;
	size_t have, used;
	char buf[4096];
};

/* text_open - false: errno says why */
bool text_open(struct text *text, const char *path);
void text_close(struct text *text);
/* text_line - the next line without its end, cut to cap; false: there is none */
bool text_line(struct text *text, char *line, size_t cap);
/* text_number - the number behind a key, "pos:\t123"; false: the line is not of that key */
bool text_number(const char *line, const char *key, int base, uint64_t *ret);

#endif
