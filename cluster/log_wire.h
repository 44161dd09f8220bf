/* Output and filters of output in messages, packed and parsed. */
#ifndef CLUSTER_LOG_WIRE_H
#define CLUSTER_LOG_WIRE_H

#include "base/err.h"
#include "base/wire.h"
#include "cluster/logring.h"

#include <stdint.h>

#define LOG_CHUNK_PAIRS 10
/* pairs as in `log` of client_proto.h, for whoever opens the map */
void log_chunk_pack_pairs(uint32_t node, const struct log_chunk *chunk, struct buf *b);
/* data points into the message */
int log_chunk_parse(
	const struct wire_value *map, struct log_chunk *ret_chunk, struct ramet_err *err);

#define LOG_FILTER_PAIRS 5
void log_filter_pack_pairs(const struct log_filter *filter, struct buf *b);
int log_filter_parse(
	const struct wire_value *map, struct log_filter *ret_filter, struct ramet_err *err);

#endif
