/* What `ramet doctor` says of a running node: rows {node, name, state, detail, remedy, cost} of
 * client_proto.h. */
#ifndef CLUSTER_DOCTOR_H
#define CLUSTER_DOCTOR_H

#include "base/wire.h"

#include <stdint.h>

struct node;

void doctor_pack(struct node *node, struct buf *b, uint32_t *io_count);
/* a node that did not answer */
void doctor_pack_silent(uint32_t node, struct buf *b, uint32_t *io_count);

#endif
