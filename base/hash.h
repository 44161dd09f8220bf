/* Hashes: SHA-256 where content is addressed or a peer could cheat, 64-bit xxh3 where only
 * accidents are to be found. */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

#define SHA256_LEN 32
#define SHA256_HEX_LEN 64

struct sha256 {
	unsigned char bytes[SHA256_LEN];
};

/* sha256_bytes - of a buffer; RAMET_ENOMEM is the only failure */
int sha256_bytes(const void *data, size_t len, struct sha256 *ret, struct ramet_err *err);

/*
 * sha256_fd - of a regular file's whole content, whatever its offset is (which stays where it was).
 * Any thread; blocks for as long as reading takes (about 1 s/GB). A file whose device, inode, size,
 * mtime and ctime are those of one hashed before is not read again: a bounded cache of this
 * process, shared by all threads. RAMET_EAGAIN if the file changed while it was read, RAMET_EINVAL
 * if it is no regular file, RAMET_ECANCELED (base/cancel.h), RAMET_EIO.
 */
int sha256_fd(int fd, struct sha256 *ret, struct ramet_err *err);
void sha256_cache_clear(void);

/* a hash over pieces: of what comes in order, in one thread */
struct sha256_stream;
int sha256_stream_create(struct sha256_stream **ret_stream, struct ramet_err *err);
void sha256_stream_destroy(struct sha256_stream *stream); /* NULL is fine */
int sha256_stream_add(
	struct sha256_stream *stream, const void *data, size_t len, struct ramet_err *err);
int sha256_stream_end(struct sha256_stream *stream, struct sha256 *ret,
	struct ramet_err *err); /* then only destroy */

uint64_t hash64(const void *data, size_t len);

/* hex_encode - 2 * len lower-case digits and a NUL into dst; hex_decode - exactly 2 * len digits of
 * either case */
void hex_encode(const void *data, size_t len, char *dst);
int hex_decode(const char *text, void *dst, size_t len); /* 0, or RAMET_EINVAL */

#endif
