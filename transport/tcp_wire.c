/* Encoding and parsing the frames of `tcp` transports: "offset:size" of each field.
 * - header: magic 'R' 0:1, op 1:1, flags 2:2, length 4:4, number 8:4, imm or status 12:4, id 16:8,
 *   key 24:8, offset 32:8 */
#include "transport/tcp_wire.h"

#include "transport/bytes.h"

#define FRAME_MAGIC 0x52

void tcp_frame_encode(const struct tcp_frame *frame, unsigned char dst[TCP_HEADER_SIZE])
{
	bool answer = frame->op == TCP_DATA || frame->op == TCP_ACK;
	dst[0] = FRAME_MAGIC;
	dst[1] = (unsigned char)frame->op;
	bytes_put16(dst + 2, (uint16_t)frame->flags);
	bytes_put32(dst + 4, frame->op == TCP_READ ? frame->want : frame->payload);
	bytes_put32(dst + 8, frame->number);
	bytes_put32(dst + 12, answer ? (uint32_t)frame->status : frame->imm);
	bytes_put64(dst + 16, frame->ref.id);
	bytes_put64(dst + 24, frame->ref.key);
	bytes_put64(dst + 32, frame->ref.offset);
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
	uint32_t length = bytes_get32(src + 4), word = bytes_get32(src + 12);
	struct tcp_frame f = {
		.op = (enum tcp_frame_op)op,
		.flags = bytes_get16(src + 2),
		.payload = op == TCP_READ ? 0 : length,
		.want = op == TCP_READ ? length : 0,
		.number = bytes_get32(src + 8),
		.imm = rule->status ? 0 : word,
		.status = rule->status ? (int32_t)word : 0,
		.ref = {bytes_get64(src + 16), bytes_get64(src + 24), bytes_get64(src + 32)},
	};
	if ((f.flags & ~rule->flags) || length < rule->length_min || length > rule->length_max)
		return RAMET_EPROTO;
	if (!rule->number && f.number != 0)
		return RAMET_EPROTO;
	if (!rule->ref && !bytes_all_zero(src + 16, 24))
		return RAMET_EPROTO;
	if (f.status != 0 && f.status != RAMET_EREVOKED && f.status != RAMET_EACCESS)
		return RAMET_EPROTO;
	if (!frame_consistent(&f))
		return RAMET_EPROTO;
	*ret = f;
	return 0;
}
