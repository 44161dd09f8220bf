/* Hashes of bytes, and hex. What remembers the hashes of files is hash_file.c. */
#include "base/hash.h"
#include "base/cleanup.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

struct sha256_stream {
	EVP_MD_CTX *ctx;
};

int sha256_stream_create(struct sha256_stream **ret_stream, struct ramet_err *err)
{
	struct sha256_stream *stream = calloc(1, sizeof(*stream));
	if (!stream)
		return err_nomem(err);
	stream->ctx = EVP_MD_CTX_new();
	if (!stream->ctx || !EVP_DigestInit_ex(stream->ctx, EVP_sha256(), NULL)) {
		sha256_stream_destroy(stream);
		return err_nomem(err);
	}
	*ret_stream = stream;
	return 0;
}

void sha256_stream_destroy(struct sha256_stream *stream)
{
	if (!stream)
		return;
	EVP_MD_CTX_free(stream->ctx);
	free(stream);
}

int sha256_stream_add(
	struct sha256_stream *stream, const void *data, size_t len, struct ramet_err *err)
{
	if (len && !EVP_DigestUpdate(stream->ctx, data, len))
		return err_set(err, RAMET_EINTERNAL, "libcrypto: SHA-256 update failed");
	return 0;
}

int sha256_stream_end(struct sha256_stream *stream, struct sha256 *ret, struct ramet_err *err)
{
	struct sha256 sum;
	if (!EVP_DigestFinal_ex(stream->ctx, sum.bytes, NULL))
		return err_set(err, RAMET_EINTERNAL, "libcrypto: SHA-256 final failed");
	*ret = sum;
	return 0;
}

int sha256_bytes(const void *data, size_t len, struct sha256 *ret, struct ramet_err *err)
{
	struct sha256 sum;
	if (!EVP_Digest(len ? data : "", len, sum.bytes, NULL, EVP_sha256(), NULL))
		return err_nomem(err);
	*ret = sum;
	return 0;
}

uint64_t hash64(const void *data, size_t len)
{
	return XXH3_64bits(data, len);
}

void hex_encode(const void *data, size_t len, char *dst)
{
	static const char digits[] = "0123456789abcdef";
	const unsigned char *bytes = data;
	for (size_t i = 0; i < len; i++) {
		dst[2 * i] = digits[bytes[i] >> 4];
		dst[2 * i + 1] = digits[bytes[i] & 15];
	}
	dst[2 * len] = '\0';
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

int hex_decode(const char *text, void *dst, size_t len)
{
	if (strnlen(text, 2 * len + 1) != 2 * len)
		return RAMET_EINVAL;
	for (size_t i = 0; i < 2 * len; i++)
		if (hex_digit(text[i]) < 0)
			return RAMET_EINVAL;
	unsigned char *bytes = dst;
	for (size_t i = 0; i < len; i++)
		bytes[i] =
			(unsigned char)(hex_digit(text[2 * i]) * 16 + hex_digit(text[2 * i + 1]));
	return 0;
}
