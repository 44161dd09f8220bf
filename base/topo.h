/* What a node is made of: cores, memory, NUMA domains (by hwloc, else /sys), and its class: the things that must agree
 * between two nodes for a fork to travel from one to the other. */
#ifndef BASE_TOPO_H
#define BASE_TOPO_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

struct topo {
	unsigned cores;	   /* usable by this process (affinity mask) */
	unsigned numa;	   /* memory domains, ≥ 1 */
	uint64_t mem_bytes;
	char cpu_model[64];
	char kernel[96];   /* release and build: uname -r and -v */
	uint64_t class_id; /* hash of kernel build, vdso build-id, CPU features and register state; never 0 */
	/* what class_id is the hash of: "6.1.0-13-amd64 build 3f2a91c0 cpu avx2,avx512f 8f0002…ff state e7:2696 vdso 1a2b3c4d" */
	char class_text[160];
};
/* takes some milliseconds; RAMET_EIO */
int topo_probe(struct topo *ret_topo, struct ramet_err *err);
/* topo_class_diff - says in words why two classes differ ("kernel 6.1.0-13 against 6.1.0-18; CPU features only here: avx2"),
 * into dst; their text comes from a peer and may be anything */
void topo_class_diff(const struct topo *ours, const char *their_class_text, char *dst, size_t cap);

#endif
