/* The table of reachable segments. An id is a slot number and the slot's generation; keys are
 * random. */
#include "transport/segment_table.h"

#include "transport/provider.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define SLOTS_MAX (1u << 20)
#define NO_SLOT UINT32_MAX

struct slot {
	struct transport_segment *segment; /* NULL: free */
	uint32_t generation; /* of the id given out last */
	uint32_t next_free;
};

struct segment_table {
	atomic_uint refs;
	pthread_rwlock_t lock;
	struct slot *slots;
	uint32_t used, cap, free;
};

int segment_table_create(struct segment_table **ret_table, struct ramet_err *err)
{
	struct segment_table *table = calloc(1, sizeof(*table));
	if (!table)
		return err_nomem(err);
	atomic_init(&table->refs, 1);
	pthread_rwlock_init(&table->lock, NULL);
	table->free = NO_SLOT;
	*ret_table = table;
	return 0;
}

struct segment_table *segment_table_get(struct segment_table *table)
{
	atomic_fetch_add_explicit(&table->refs, 1, memory_order_relaxed);
	return table;
}

void segment_table_put(struct segment_table *table)
{
	if (!table || atomic_fetch_sub_explicit(&table->refs, 1, memory_order_acq_rel) > 1)
		return;
	pthread_rwlock_destroy(&table->lock);
	free(table->slots);
	free(table);
}

/* a free slot, at the end of the array if none was freed; lock held for writing */
static int slot_take(struct segment_table *table, uint32_t *ret_slot)
{
	if (table->free != NO_SLOT) {
		*ret_slot = table->free;
		table->free = table->slots[*ret_slot].next_free;
		return 0;
	}
	if (table->used == SLOTS_MAX)
		return RAMET_ELIMIT;
	if (table->used == table->cap) {
		uint32_t cap = table->cap ? table->cap * 2 : 16;
		struct slot *slots = realloc(table->slots, cap * sizeof(*slots));
		if (!slots)
			return RAMET_ENOMEM;
		table->slots = slots;
		table->cap = cap;
	}
	*ret_slot = table->used++;
	table->slots[*ret_slot] = (struct slot){0};
	return 0;
}

int segment_table_add(
	struct segment_table *table, struct transport_segment *segment, struct ramet_err *err)
{
	uint64_t key;
	if (getrandom(&key, sizeof(key), 0) != sizeof(key))
		return err_errno(err, RAMET_EIO, "getrandom for a segment's key");

	uint32_t slot;
	pthread_rwlock_wrlock(&table->lock);
	int rc = slot_take(table, &slot);
	if (rc == 0) {
		struct slot *s = &table->slots[slot];
		s->segment = segment;
		s->generation++;
		segment->id = (uint64_t)s->generation << 32 | slot;
		segment->key = key;
	}
	pthread_rwlock_unlock(&table->lock);
	return rc < 0 ? err_set(err, rc, "add a segment: the table has %u", table->used) : 0;
}

void segment_table_remove(struct segment_table *table, struct transport_segment *segment)
{
	uint32_t slot = (uint32_t)segment->id;
	pthread_rwlock_wrlock(&table->lock);
	if (slot < table->used && table->slots[slot].segment == segment) {
		struct slot *s = &table->slots[slot];
		s->segment = NULL;
		if (s->generation < UINT32_MAX) { /* else it is retired: ids never come back */
			s->next_free = table->free;
			table->free = slot;
		}
	}
	pthread_rwlock_unlock(&table->lock);
}

int segment_table_find(const struct segment_table *table, uint64_t domain, struct segment_ref ref,
	size_t len, bool write, struct transport_segment **ret_segment)
{
	uint32_t slot = (uint32_t)ref.id, generation = (uint32_t)(ref.id >> 32);
	if (slot >= table->used || generation == 0)
		return RAMET_EACCESS;
	const struct slot *s = &table->slots[slot];
	if (generation != s->generation || !s->segment)
		return generation <= s->generation ? RAMET_EREVOKED : RAMET_EACCESS;

	struct transport_segment *segment = s->segment;
	if (segment->key != ref.key || segment->domain->id != domain)
		return RAMET_EACCESS;
	if (ref.offset > segment->len || len > segment->len - ref.offset)
		return RAMET_EACCESS;
	if (write && !(segment->flags & TRANSPORT_SEGMENT_WRITE))
		return RAMET_EACCESS;
	*ret_segment = segment;
	return 0;
}

void segment_table_lock(struct segment_table *table)
{
	pthread_rwlock_rdlock(&table->lock);
}

void segment_table_unlock(struct segment_table *table)
{
	pthread_rwlock_unlock(&table->lock);
}
