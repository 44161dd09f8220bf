/* Encoding and parsing what `tcp` transports exchange: "offset:size" of each field.
 * - hello: magic 'RMT>' 0:4, version 4:2, token length 6:2, depth 8:4, timeout_ms 12:4, zero 16:8,
 *   token 24:32
 * - welcome: magic 'RMT<' 0:4, version 4:2, zero 6:2, status 8:4, depth 12:4, timeout_ms 16:4,
 *   zero 20:12
 * - header: magic 'R' 0:1, op 1:1, flags 2:2, length 4:4, number 8:4, imm or status 12:4, id 16:8,
 *   key 24:8, offset 32:8 */
#include "transport/tcp_wire.h"

#include <endian.h>
#include <string.h>

#define HELLO_MAGIC 0x3e544d52u
#define WELCOME_MAGIC 0x3c544d52u
#define FRAME_MAGIC 0x52

static void put16(unsigned char *p, uint16_t v)
{
	v = htole16(v);
	memcpy(p, &v, sizeof(v));
}

static void put32(unsigned char *p, uint32_t v)
{
	v = htole32(v);
	memcpy(p, &v, sizeof(v));
}

static void put64(unsigned char *p, uint64_t v)
{
	v = htole64(v);
	memcpy(p, &v, sizeof(v));
}

static uint16_t get16(const unsigned char *p)
{
	uint16_t v;
	memcpy(&v, p, sizeof(v));
	return le16toh(v);
}

static uint32_t get32(const unsigned char *p)
{
	uint32_t v;
	memcpy(&v, p, sizeof(v));
	return le32toh(v);
}

static uint64_t get64(const unsigned char *p)
{
	uint64_t v;
	memcpy(&v, p, sizeof(v));
	return le64toh(v);
}

static bool all_zero(const unsigned char *p, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (p[i] != 0)
			return false;
	}
	return true;
}

void tcp_hello_encode(const struct tcp_hello *hello, unsigned char dst[TCP_HELLO_SIZE])
{
	memset(dst, 0, TCP_HELLO_SIZE);
	put32(dst, HELLO_MAGIC);
	put16(dst + 4, TCP_WIRE_VERSION);
	put16(dst + 6, (uint16_t)hello->token_len);
	put32(dst + 8, hello->depth);
	put32(dst + 12, hello->timeout_ms);
	memcpy(dst + 24, hello->token, hello->token_len);
}

int tcp_hello_glance(const unsigned char *src, size_t len)
{
	unsigned char magic[4];
	put32(magic, HELLO_MAGIC);
	if (memcmp(src, magic, MIN(len, sizeof(magic))) != 0)
		return RAMET_EPROTO;
	return len >= 6 && get16(src + 4) != TCP_WIRE_VERSION ? RAMET_EVERSION : 0;
}

int tcp_hello_parse(const unsigned char src[TCP_HELLO_SIZE], struct tcp_hello *ret)
{
	int rc = tcp_hello_glance(src, TCP_HELLO_SIZE);
	if (rc < 0)
		return rc;
	struct tcp_hello h = {
		.token_len = get16(src + 6),
		.depth = get32(src + 8),
		.timeout_ms = get32(src + 12),
	};
	if (h.token_len > TRANSPORT_TOKEN_MAX || h.depth == 0 || h.depth > TRANSPORT_DEPTH_MAX)
		return RAMET_EPROTO;
	if (h.timeout_ms < TRANSPORT_TIMEOUT_MIN_MS || h.timeout_ms > TRANSPORT_TIMEOUT_MAX_MS)
		return RAMET_EPROTO;
	if (!all_zero(src + 16, 8) ||
		!all_zero(src + 24 + h.token_len, TRANSPORT_TOKEN_MAX - h.token_len))
		return RAMET_EPROTO;
	memcpy(h.token, src + 24, h.token_len);
	*ret = h;
	return 0;
}

void tcp_welcome_encode(const struct tcp_welcome *welcome, unsigned char dst[TCP_WELCOME_SIZE])
{
	memset(dst, 0, TCP_WELCOME_SIZE);
	put32(dst, WELCOME_MAGIC);
	put16(dst + 4, TCP_WIRE_VERSION);
	put32(dst + 8, (uint32_t)welcome->status);
	put32(dst + 12, welcome->depth);
	put32(dst + 16, welcome->timeout_ms);
}

int tcp_welcome_parse(const unsigned char src[TCP_WELCOME_SIZE], struct tcp_welcome *ret)
{
	if (get32(src) != WELCOME_MAGIC)
		return RAMET_EPROTO;
	if (get16(src + 4) != TCP_WIRE_VERSION)
		return RAMET_EVERSION;
	struct tcp_welcome w = {
		.status = (int32_t)get32(src + 8),
		.depth = get32(src + 12),
		.timeout_ms = get32(src + 16),
	};
	if (!all_zero(src + 6, 2) || !all_zero(src + 20, 12))
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

void tcp_frame_encode(const struct tcp_frame *frame, unsigned char dst[TCP_HEADER_SIZE])
{
	bool answer = frame->op == TCP_DATA || frame->op == TCP_ACK;
	dst[0] = FRAME_MAGIC;
	dst[1] = (unsigned char)frame->op;
	put16(dst + 2, (uint16_t)frame->flags);
	put32(dst + 4, frame->op == TCP_READ ? frame->want : frame->payload);
	put32(dst + 8, frame->number);
	put32(dst + 12, answer ? (uint32_t)frame->status : frame->imm);
	put64(dst + 16, frame->ref.id);
	put64(dst + 24, frame->ref.key);
	put64(dst + 32, frame->ref.offset);
}

/* What each kind of frame may hold; what a rule does not allow must be zero. */
static const struct frame_rule {
	unsigned flags;
	uint32_t length_min, length_max;
	bool number, ref, status;
} frame_rules[] = {
	[TCP_READ] = {0, 1, TRANSPORT_OP_MAX, true, true, false},
	[TCP_WRITE] = {TCP_FLAG_LAST | TCP_FLAG_IMM, 0, TCP_CHUNK_MAX, true, true, false},
	[TCP_SEND] = {0, 1, TRANSPORT_SEND_MAX, true, false, false},
	[TCP_DATA] = {TCP_FLAG_LAST, 0, TCP_CHUNK_MAX, true, false, true},
	[TCP_ACK] = {0, 0, 0, true, false, true},
	[TCP_PING] = {0, 0, 0, false, false, false},
	[TCP_BYE] = {0, 0, 0, false, false, false},
};

/* what depends on more than one field */
static bool frame_consistent(const struct tcp_frame *f)
{
	switch (f->op) {
	case TCP_WRITE:
		if ((f->flags & TCP_FLAG_IMM) && !(f->flags & TCP_FLAG_LAST))
			return false;
		if (!(f->flags & TCP_FLAG_IMM) && (f->imm != 0 || f->payload == 0))
			return false;
		return true;
	case TCP_DATA:
		if (f->status != 0)
			return f->payload == 0 && (f->flags & TCP_FLAG_LAST);
		return f->payload > 0;
	default:
		return f->imm == 0;
	}
}

int tcp_frame_parse(const unsigned char src[TCP_HEADER_SIZE], struct tcp_frame *ret)
{
	unsigned op = src[1];
	if (src[0] != FRAME_MAGIC || op < TCP_READ || op > TCP_BYE)
		return RAMET_EPROTO;
	const struct frame_rule *rule = &frame_rules[op];
	uint32_t length = get32(src + 4), word = get32(src + 12);
	struct tcp_frame f = {
		.op = (enum tcp_frame_op)op,
		.flags = get16(src + 2),
		.payload = op == TCP_READ ? 0 : length,
		.want = op == TCP_READ ? length : 0,
		.number = get32(src + 8),
		.imm = rule->status ? 0 : word,
		.status = rule->status ? (int32_t)word : 0,
		.ref = {get64(src + 16), get64(src + 24), get64(src + 32)},
	};
	if ((f.flags & ~rule->flags) || length < rule->length_min || length > rule->length_max)
		return RAMET_EPROTO;
	if (!rule->number && f.number != 0)
		return RAMET_EPROTO;
	if (!rule->ref && !all_zero(src + 16, 24))
		return RAMET_EPROTO;
	if (f.status != 0 && f.status != RAMET_EREVOKED && f.status != RAMET_EACCESS)
		return RAMET_EPROTO;
	if (!frame_consistent(&f))
		return RAMET_EPROTO;
	*ret = f;
	return 0;
}
