/* msgpack in place: reads a message where it was received and writes one into memory that is there
 * already. Unlike base/wire.h it never allocates and builds no tree: a clone must touch few pages,
 * and the crash handler none of the heap. Reading is bounded by the bytes given; every malformed
 * input is RAMET_EPROTO. */
#ifndef RUNTIME_HOST_MESSAGE_H
#define RUNTIME_HOST_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct message_reader {
	const unsigned char *at, *end;
};

struct message_span { /* bytes of the message itself, not terminated */
	const char *data;
	size_t len;
};

/* each takes one value from the reader: 0, or RAMET_EPROTO when it is of another type or cut short
 */
int message_read_map(struct message_reader *r, uint32_t *ret_pairs);
int message_read_array(struct message_reader *r, uint32_t *ret_items);
int message_read_str(struct message_reader *r, struct message_span *ret);
int message_read_bin(struct message_reader *r, struct message_span *ret);
int message_read_uint(struct message_reader *r, uint64_t *ret);
int message_read_bool(struct message_reader *r, bool *ret);
int message_skip(struct message_reader *r); /* one value of any type, with what it contains */

bool message_is(struct message_span span, const char *text);
/* message_copy - to a terminated string; RAMET_EPROTO when it does not fit or holds a NUL */
int message_copy(struct message_span span, char *dst, size_t cap);

/* Writing: what does not fit sets `full` and is left out; check it once, at the end. */
struct message_writer {
	unsigned char *at, *end;
	bool full;
};

void message_map(struct message_writer *w, uint32_t pairs);
void message_array(struct message_writer *w, uint32_t items);
void message_str(struct message_writer *w, const char *text);
/* message_text - any bytes as a valid string of at most max bytes: cut at a character, broken UTF-8
 * and NULs become '?' */
void message_text(struct message_writer *w, const char *text, size_t len, size_t max);
void message_uint(struct message_writer *w, uint64_t value);
void message_bool(struct message_writer *w, bool value);
void message_bin_header(
	struct message_writer *w, uint32_t len); /* the bytes follow outside the writer */
void message_kuint(struct message_writer *w, const char *key, uint64_t value);
void message_kstr(struct message_writer *w, const char *key, const char *text);

#endif
