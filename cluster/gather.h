/* One question to one peer or to all that are alive, the answers as they come, and who was silent.
 */
#ifndef CLUSTER_GATHER_H
#define CLUSTER_GATHER_H

#include "base/err.h"
#include "base/wire.h"

#include <stdint.h>

#define GATHER_TIMEOUT_NS 1000000000ull

struct gather;
struct node;

struct gather_handler {
	/* body is valid during the call; a negative code counts the node as silent */
	int (*on_answer)(void *user, uint32_t node, const struct wire_value *body);
	/* last, once, never from within gather_start(); the gather ends with it */
	void (*on_done)(void *user, const uint32_t *silent, unsigned nsilent);
};

/* gather_start - `only`: ask that node; 0: all peers. Dead ones count as silent. question: one
 * encoded map, not taken. If `only` is this very node nobody is asked. */
int gather_start(struct node *node, uint32_t only, const char *type, const struct buf *question,
	const struct gather_handler *handler, void *user, struct gather **ret_gather,
	struct ramet_err *err);
void gather_cancel(struct gather *gather); /* on_done will not be called; NULL is fine */

/* Rows travel as {count: uint, rows: bin}: the maps, encoded, one after the other. */
void gather_pack_rows(struct buf *b, uint32_t count, const struct buf *rows);
/* gather_take_rows - checks them and appends them to rows; max bounds the count of all together */
int gather_take_rows(const struct wire_value *body, struct buf *rows, uint32_t *io_count,
	uint32_t max, struct ramet_err *err);

#endif
