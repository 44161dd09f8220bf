/* Which memory peers may reach, for providers that check in software: a table from id to segment.
 * Removing bumps nothing but forgets: an id that was given out and is gone is REVOKED, any other is
 * no ACCESS. Reference-counted and locked, because `mem` peers in other threads look up, and copy,
 * under its lock. */
#ifndef TRANSPORT_SEGMENT_TABLE_H
#define TRANSPORT_SEGMENT_TABLE_H

#include "transport/transport.h"

struct segment_table;

int segment_table_create(struct segment_table **ret_table, struct ramet_err *err);
struct segment_table *segment_table_get(struct segment_table *table);
void segment_table_put(struct segment_table *table); /* NULL is fine */
/* segment_table_add - sets segment->id and ->key */
int segment_table_add(
	struct segment_table *table, struct transport_segment *segment, struct ramet_err *err);
/* segment_table_remove - waits for those who hold the lock; a segment that is not in the table is
 * left alone */
void segment_table_remove(struct segment_table *table, struct transport_segment *segment);

/* segment_table_find - may a peer of domain touch len bytes at ref? 0, RAMET_EREVOKED or
 * RAMET_EACCESS. The owner's thread needs no lock; others hold it from here until they have touched
 * the memory. */
int segment_table_find(const struct segment_table *table, uint64_t domain, struct segment_ref ref,
	size_t len, bool write, struct transport_segment **ret_segment);
void segment_table_lock(struct segment_table *table);
void segment_table_unlock(struct segment_table *table);

#endif
