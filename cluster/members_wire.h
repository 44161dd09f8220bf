/* What members tell each other of themselves, packed and parsed; parsers check everything. */
#ifndef CLUSTER_MEMBERS_WIRE_H
#define CLUSTER_MEMBERS_WIRE_H

#include "cluster/members.h"

void member_info_pack(const struct member_info *info, struct buf *b); /* a whole hello */
int member_info_parse(
	const struct wire_value *map, struct member_info *ret_info, struct ramet_err *err);
void member_load_pack(const struct member_load *load, struct buf *b);
int member_load_parse(
	const struct wire_value *map, struct member_load *ret_load, struct ramet_err *err);
void holdings_pack(const struct holding *holdings, uint32_t count, struct buf *b); /* an array */
/* from a map's "list"; *ret_holdings is malloc'ed */
int holdings_parse(const struct wire_value *map, struct holding **ret_holdings, uint32_t *ret_count,
	struct ramet_err *err);

#endif
