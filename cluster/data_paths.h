/* Over which transport another node's memory is read and its leases are reached: RDMA where both
 * ends have it, TCP otherwise, and for a while when RDMA did not get there: for leases, or for
 * memory, each for itself, since they fail for different reasons. Control loop only. */
#ifndef CLUSTER_DATA_PATHS_H
#define CLUSTER_DATA_PATHS_H

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

struct data_paths;
struct segments;

int data_paths_create(
	const struct segments *segments, struct data_paths **ret_paths, struct ramet_err *err);
void data_paths_destroy(struct data_paths *paths); /* NULL is fine */
enum data_use { DATA_MEMORY, DATA_LEASES };
#define DATA_USES 2

/* data_paths_verbs - whether to ask that node for RDMA */
bool data_paths_verbs(const struct data_paths *paths, uint32_t node, enum data_use use);
/* data_paths_taken - this is what it offered, and what is used; logged when it changes */
void data_paths_taken(
	struct data_paths *paths, uint32_t node, enum data_use use, const char *provider);
/* data_paths_reached - and it got there */
void data_paths_reached(struct data_paths *paths, uint32_t node, enum data_use use);
/* data_paths_lost - it did not get there: RDMA is not asked for for a while; of refusals (EPERM)
 * it takes some in a row */
void data_paths_lost(struct data_paths *paths, uint32_t node, enum data_use use,
	const char *provider, const struct ramet_err *err);

#endif
