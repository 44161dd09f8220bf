/* Encoding and parsing greetings: "offset:size" of each field.
 * - hello: magic 'RMT>' 0:4, version 4:2, token length 6:2, depth 8:4, timeout_ms 12:4, zero 16:8,
 *   token 24:32
 * - welcome: magic 'RMT<' 0:4, version 4:2, zero 6:2, status 8:4, depth 12:4, timeout_ms 16:4,
 *   zero 20:12 */
#include "transport/greeting.h"

#include "transport/bytes.h"

#include <string.h>

#define HELLO_MAGIC 0x3e544d52u
#define WELCOME_MAGIC 0x3c544d52u

static void head_encode(unsigned char *dst, size_t size, uint32_t magic)
{
	memset(dst, 0, size);
	bytes_put32(dst, magic);
	bytes_put16(dst + 4, GREETING_VERSION);
}

/* what the first len bytes tell: 0 so far so good, RAMET_EPROTO, or RAMET_EVERSION */
static int head_check(const unsigned char *src, size_t len, uint32_t expected)
{
	unsigned char magic[4];
	bytes_put32(magic, expected);
	if (memcmp(src, magic, MIN(len, sizeof(magic))) != 0)
		return RAMET_EPROTO;
	return len >= 6 && bytes_get16(src + 4) != GREETING_VERSION ? RAMET_EVERSION : 0;
}

void greeting_hello_fill(struct greeting_hello *ret, const struct transport_options *options,
	const void *token, size_t token_len)
{
	*ret = (struct greeting_hello){
		.depth = options->queue_depth,
		.timeout_ms = options->peer_timeout_ms,
		.token_len = (uint32_t)token_len,
	};
	if (token_len)
		memcpy(ret->token, token, token_len);
}

void greeting_hello_encode(
	const struct greeting_hello *hello, unsigned char dst[GREETING_HELLO_SIZE])
{
	head_encode(dst, GREETING_HELLO_SIZE, HELLO_MAGIC);
	bytes_put16(dst + 6, (uint16_t)hello->token_len);
	bytes_put32(dst + 8, hello->depth);
	bytes_put32(dst + 12, hello->timeout_ms);
	memcpy(dst + 24, hello->token, hello->token_len);
}

int greeting_hello_glance(const unsigned char *src, size_t len)
{
	return head_check(src, len, HELLO_MAGIC);
}

int greeting_hello_parse(const unsigned char src[GREETING_HELLO_SIZE], struct greeting_hello *ret)
{
	int rc = greeting_hello_glance(src, GREETING_HELLO_SIZE);
	if (rc < 0)
		return rc;
	struct greeting_hello h = {
		.token_len = bytes_get16(src + 6),
		.depth = bytes_get32(src + 8),
		.timeout_ms = bytes_get32(src + 12),
	};
	if (h.token_len > TRANSPORT_TOKEN_MAX || h.depth == 0 || h.depth > TRANSPORT_DEPTH_MAX)
		return RAMET_EPROTO;
	if (h.timeout_ms < TRANSPORT_TIMEOUT_MIN_MS || h.timeout_ms > TRANSPORT_TIMEOUT_MAX_MS)
		return RAMET_EPROTO;
	if (!bytes_all_zero(src + 16, 8) ||
		!bytes_all_zero(src + 24 + h.token_len, TRANSPORT_TOKEN_MAX - h.token_len))
		return RAMET_EPROTO;
	memcpy(h.token, src + 24, h.token_len);
	*ret = h;
	return 0;
}

void greeting_welcome_encode(
	const struct greeting_welcome *welcome, unsigned char dst[GREETING_WELCOME_SIZE])
{
	head_encode(dst, GREETING_WELCOME_SIZE, WELCOME_MAGIC);
	bytes_put32(dst + 8, (uint32_t)welcome->status);
	bytes_put32(dst + 12, welcome->depth);
	bytes_put32(dst + 16, welcome->timeout_ms);
}

int greeting_welcome_parse(
	const unsigned char src[GREETING_WELCOME_SIZE], struct greeting_welcome *ret)
{
	int rc = head_check(src, GREETING_WELCOME_SIZE, WELCOME_MAGIC);
	if (rc < 0)
		return rc;
	struct greeting_welcome w = {
		.status = (int32_t)bytes_get32(src + 8),
		.depth = bytes_get32(src + 12),
		.timeout_ms = bytes_get32(src + 16),
	};
	if (!bytes_all_zero(src + 6, 2) || !bytes_all_zero(src + 20, 12))
		return RAMET_EPROTO;
	if (w.status != 0) {
		if (w.status != RAMET_EPERM && w.status != RAMET_EVERSION &&
			w.status != RAMET_ENOMEM)
			return RAMET_EPROTO;
	} else if (w.depth == 0 || w.depth > TRANSPORT_DEPTH_MAX ||
		w.timeout_ms < TRANSPORT_TIMEOUT_MIN_MS ||
		w.timeout_ms > TRANSPORT_TIMEOUT_MAX_MS) {
		return RAMET_EPROTO;
	}
	*ret = w;
	return 0;
}
