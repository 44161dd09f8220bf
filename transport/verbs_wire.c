/* Encoding and parsing control messages of `verbs`: "offset:size" of each field.
 * - all: magic 'V' 0:1, type 1:1, count 2:2, received 4:4, lane_received 8:4, revoked 12:4
 * - LANE_OPEN, LANE_READY: epoch 16:4, qpn 20:4, psn 24:4, rd_atomic 28:2, mtu 30:2, gid 32:16,
 * flags (OPEN: 1 suspect, 2 it writes) or verdict (READY) 48:4; OPEN with a suspect: length 52:4,
 * id 56:8, key 64:8, offset 72:8
 * - REVOKE: ids 16:8 each */
#include "transport/verbs_wire.h"

#include "transport/bytes.h"

#include <string.h>

#define MAGIC 0x56
#define FLAG_SUSPECT 1u
#define FLAG_WRITE 2u
#define BITS24 0xffffffu
#define RD_ATOMIC_MAX 255u
#define MTU_MAX 5u
#define PAGE_BITS 12
#define CHECK_SHIFT (32 + PAGE_BITS)

static void lane_encode(const struct verbs_message *m, unsigned char *dst)
{
	bytes_put32(dst + 16, m->lane.epoch);
	bytes_put32(dst + 20, m->lane.qpn);
	bytes_put32(dst + 24, m->lane.psn);
	bytes_put16(dst + 28, (uint16_t)m->lane.rd_atomic);
	bytes_put16(dst + 30, (uint16_t)m->lane.mtu);
	memcpy(dst + 32, m->lane.gid, VERBS_GID_SIZE);
	if (m->type == VERBS_LANE_READY) {
		bytes_put32(dst + 48, (uint32_t)m->verdict);
		return;
	}
	if (!m->suspect.any)
		return;
	bytes_put32(dst + 48, FLAG_SUSPECT | (m->suspect.write ? FLAG_WRITE : 0));
	bytes_put32(dst + 52, m->suspect.len);
	bytes_put64(dst + 56, m->suspect.ref.id);
	bytes_put64(dst + 64, m->suspect.ref.key);
	bytes_put64(dst + 72, m->suspect.ref.offset);
}

void verbs_message_encode(const struct verbs_message *m, unsigned char dst[VERBS_MESSAGE_SIZE])
{
	memset(dst, 0, VERBS_MESSAGE_SIZE);
	dst[0] = MAGIC;
	dst[1] = (unsigned char)m->type;
	bytes_put32(dst + 4, m->received);
	bytes_put32(dst + 8, m->lane_received);
	bytes_put32(dst + 12, m->revoked);
	if (m->type == VERBS_LANE_OPEN || m->type == VERBS_LANE_READY)
		lane_encode(m, dst);
	if (m->type == VERBS_REVOKE) {
		bytes_put16(dst + 2, (uint16_t)m->count);
		for (uint32_t i = 0; i < m->count; i++)
			bytes_put64(dst + 16 + (size_t)i * 8, m->ids[i]);
	}
}

static int suspect_parse(const unsigned char *src, struct verbs_suspect *ret)
{
	uint32_t flags = bytes_get32(src + 48);
	struct verbs_suspect s = {
		.any = flags & FLAG_SUSPECT,
		.write = flags & FLAG_WRITE,
		.len = bytes_get32(src + 52),
		.ref = {bytes_get64(src + 56), bytes_get64(src + 64), bytes_get64(src + 72)},
	};
	if (flags & ~(FLAG_SUSPECT | FLAG_WRITE))
		return RAMET_EPROTO;
	if (!s.any && (s.write || !bytes_all_zero(src + 52, 28)))
		return RAMET_EPROTO;
	if (s.any && (s.len == 0 || s.len > TRANSPORT_OP_MAX))
		return RAMET_EPROTO;
	*ret = s;
	return 0;
}

static int lane_parse(const unsigned char *src, struct verbs_message *m)
{
	m->lane.epoch = bytes_get32(src + 16);
	m->lane.qpn = bytes_get32(src + 20);
	m->lane.psn = bytes_get32(src + 24);
	m->lane.rd_atomic = bytes_get16(src + 28);
	m->lane.mtu = bytes_get16(src + 30);
	memcpy(m->lane.gid, src + 32, VERBS_GID_SIZE);
	if (m->lane.epoch == 0 || m->lane.qpn > BITS24 || m->lane.psn > BITS24 ||
		m->lane.rd_atomic == 0 || m->lane.rd_atomic > RD_ATOMIC_MAX || m->lane.mtu == 0 ||
		m->lane.mtu > MTU_MAX)
		return RAMET_EPROTO;
	if (m->type == VERBS_LANE_OPEN)
		return suspect_parse(src, &m->suspect);
	m->verdict = (int32_t)bytes_get32(src + 48);
	if (m->verdict != 0 && m->verdict != RAMET_EREVOKED && m->verdict != RAMET_EACCESS)
		return RAMET_EPROTO;
	return bytes_all_zero(src + 52, 28) ? 0 : RAMET_EPROTO;
}

static int revoke_parse(const unsigned char *src, struct verbs_message *m)
{
	m->count = bytes_get16(src + 2);
	if (m->count == 0 || m->count > VERBS_REVOKE_MAX)
		return RAMET_EPROTO;
	for (uint32_t i = 0; i < m->count; i++)
		m->ids[i] = bytes_get64(src + 16 + (size_t)i * 8);
	size_t used = 16 + (size_t)m->count * 8;
	return bytes_all_zero(src + used, VERBS_MESSAGE_SIZE - used) ? 0 : RAMET_EPROTO;
}

int verbs_message_parse(const unsigned char *src, size_t len, struct verbs_message *ret)
{
	if (len != VERBS_MESSAGE_SIZE || src[0] != MAGIC)
		return RAMET_EPROTO;
	struct verbs_message m = {
		.type = (enum verbs_message_type)src[1],
		.received = bytes_get32(src + 4),
		.lane_received = bytes_get32(src + 8),
		.revoked = bytes_get32(src + 12),
	};
	int rc = RAMET_EPROTO;
	if (m.type != VERBS_REVOKE && bytes_get16(src + 2) != 0)
		return RAMET_EPROTO;
	switch (m.type) {
	case VERBS_PING:
	case VERBS_BYE:
		rc = bytes_all_zero(src + 16, VERBS_MESSAGE_SIZE - 16) ? 0 : RAMET_EPROTO;
		break;
	case VERBS_LANE_OPEN:
	case VERBS_LANE_READY:
		rc = lane_parse(src, &m);
		break;
	case VERBS_REVOKE:
		rc = revoke_parse(src, &m);
		break;
	}
	if (rc == 0)
		*ret = m;
	return rc;
}

static uint64_t key_check(uint64_t id, uint64_t low)
{
	uint64_t x = (id ^ (low * 0x9e3779b97f4a7c15u)) * 0xbf58476d1ce4e5b9u;
	x = (x ^ (x >> 29)) * 0x94d049bb133111ebu;
	return x >> CHECK_SHIFT;
}

uint64_t verbs_key_make(uint64_t id, uint32_t rkey, uint32_t page_offset)
{
	uint64_t low = (uint64_t)page_offset << 32 | rkey;
	return key_check(id, low) << CHECK_SHIFT | low;
}

int verbs_key_split(const struct segment_ref *ref, uint32_t *ret_rkey, uint64_t *ret_start)
{
	uint64_t low = ref->key & (((uint64_t)1 << CHECK_SHIFT) - 1);
	if (ref->id == 0 || key_check(ref->id, low) != ref->key >> CHECK_SHIFT)
		return RAMET_EACCESS;
	*ret_rkey = (uint32_t)low;
	*ret_start = low >> 32;
	return 0;
}
