/* What opens a seed to a peer: which one it is (id, epoch), and its secret. The secret is made with
 * the seed, from random bytes, and travels only in `holdings` (to the configured addresses of the
 * nodes) and in requests for the seed; it is never logged or shown. */
#ifndef CLUSTER_SEED_KEY_H
#define CLUSTER_SEED_KEY_H

#include "base/err.h"
#include "base/wire.h"
#include "rfork/descriptor.h"

#include <stdbool.h>
#include <stdint.h>

#define SEED_SECRET_BYTES 32

struct seed_key {
	uint8_t seed_id[SEED_ID_BYTES];
	uint64_t epoch;
	uint8_t secret[SEED_SECRET_BYTES];
};

/* seed_key_create - for a seed that will be made here: a new id, and a new secret */
int seed_key_create(uint64_t epoch, struct seed_key *ret_key, struct ramet_err *err);
#define SEED_KEY_PAIRS 3 /* that seed_key_pack() writes: seed, epoch, secret */
void seed_key_pack(const struct seed_key *key, struct buf *b);
int seed_key_parse(const struct wire_value *map, struct seed_key *ret_key, struct ramet_err *err);
/* seed_key_same - of one seed: id and epoch; the secret is not looked at */
bool seed_key_same(const struct seed_key *a, const struct seed_key *b);
/* seed_key_opens - the same in all; takes the same time wherever secrets differ */
bool seed_key_opens(const struct seed_key *offered, const struct seed_key *key);

#endif
