/* The cases of bench/run page, by file. */
#ifndef BENCH_PAGE_H
#define BENCH_PAGE_H

#include "bench/node.h"

#define PAGE_MB 16 /* of the native host whose pages are read */

/* a native host with PAGE_MB filled, and its seed */
int page_host(
	struct node *node, struct proc **ret_host, struct image **ret_image, struct ramet_err *err);
/* ns that a clone took to read all of them: in order, or scattered */
int page_touch(struct proc *clone, bool scattered, double *ret_ns, struct ramet_err *err);

/* the same scattered; ns of one page */
struct page_times {
	double median, p99, mean;
};
int page_each(struct proc *clone, struct page_times *ret, struct ramet_err *err);

int page_sibling(struct node *node, struct ramet_err *err);
/* both make their own nodes */
int page_revoke(struct ramet_err *err);
int page_checksum(struct ramet_err *err);
/* everything on one CPU; makes its own node */
int page_fault(struct ramet_err *err);

/* bench/run page --vm: in guests, with the peer in this one, or in the last of several */
int page_verbs_fault(struct ramet_err *err);
int page_verbs_working_set(struct ramet_err *err);
/* page_verbs_peer - the peer as a program of its own: says what it offers, serves until SIGTERM;
 * the exit status */
int page_verbs_peer(void);

#endif
