/* Keys of seeds: see seed_key.h. */
#include "cluster/seed_key.h"

#include <string.h>
#include <sys/random.h>

int seed_key_create(uint64_t epoch, struct seed_key *ret_key, struct ramet_err *err)
{
	struct seed_key key = {.epoch = epoch};
	if (getrandom(key.seed_id, sizeof(key.seed_id), 0) != (ssize_t)sizeof(key.seed_id) ||
		getrandom(key.secret, sizeof(key.secret), 0) != (ssize_t)sizeof(key.secret))
		return err_errno(err, RAMET_EIO, "random bytes for a seed");
	*ret_key = key;
	return 0;
}

void seed_key_pack(const struct seed_key *key, struct buf *b)
{
	wire_kbin(b, "seed", key->seed_id, sizeof(key->seed_id));
	wire_kuint(b, "epoch", key->epoch);
	wire_kbin(b, "secret", key->secret, sizeof(key->secret));
}

static int get_bytes(const struct wire_value *map, const char *name, void *dst, size_t len,
	struct ramet_err *err)
{
	const void *bytes = NULL;
	size_t got = 0;
	int rc = wire_get_bin(map, name, &bytes, &got, err);
	if (rc < 0)
		return rc;
	if (got != len)
		return err_set(err, RAMET_EPROTO, "%s: %zu bytes were expected", name, len);
	memcpy(dst, bytes, len);
	return 0;
}

int seed_key_parse(const struct wire_value *map, struct seed_key *ret_key, struct ramet_err *err)
{
	struct seed_key key;
	int rc = get_bytes(map, "seed", key.seed_id, sizeof(key.seed_id), err);
	if (rc == 0)
		rc = wire_get_uint(map, "epoch", UINT64_MAX, &key.epoch, err);
	if (rc == 0)
		rc = get_bytes(map, "secret", key.secret, sizeof(key.secret), err);
	if (rc == 0)
		*ret_key = key;
	return rc;
}

bool seed_key_same(const struct seed_key *a, const struct seed_key *b)
{
	return a->epoch == b->epoch && memcmp(a->seed_id, b->seed_id, sizeof(a->seed_id)) == 0;
}

bool seed_key_opens(const struct seed_key *offered, const struct seed_key *key)
{
	uint8_t diff = 0;
	for (unsigned i = 0; i < SEED_SECRET_BYTES; i++)
		diff |= offered->secret[i] ^ key->secret[i];
	return seed_key_same(offered, key) && diff == 0;
}
