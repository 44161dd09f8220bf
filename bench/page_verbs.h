/* The peer of bench/run page --vm: the seed that it serves, and the program that it is in another
 * guest. */
#ifndef BENCH_PAGE_VERBS_H
#define BENCH_PAGE_VERBS_H

#include "bench/guest.h"
#include "bench/node.h"
#include "bench/peer.h"

#define PAGE_VERBS_SET 512u /* pages */

struct page_verbs_seed {
	struct proc *host;
	struct image *image;
	struct working_set *set;
};
int page_verbs_seed_make(struct node *node, struct page_verbs_seed *ret, struct ramet_err *err);
void page_verbs_seed_end(struct page_verbs_seed *seed);
/* page_verbs_set - the working set of the seed, by its descriptor: as a call would touch them, no
 * page followed by its neighbour */
int page_verbs_set(const struct image *image, struct working_set **ret_set, struct ramet_err *err);

struct page_verbs_process {
	struct guest_program program;
	struct peer_offer offer;
};
int page_verbs_process_start(
	struct page_verbs_process *process, unsigned guest, struct ramet_err *err);
void page_verbs_process_end(struct page_verbs_process *process);

#endif
