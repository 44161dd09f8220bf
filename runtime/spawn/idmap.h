/* An intrusive hash table from numbers to records: the node is embedded, nothing is allocated, keys
 * are unique. */
#ifndef RUNTIME_SPAWN_IDMAP_H
#define RUNTIME_SPAWN_IDMAP_H

#include "base/cleanup.h"

#include <stddef.h>
#include <stdint.h>

#define IDMAP_BUCKETS 1024u

struct idmap_node {
	struct idmap_node *next;
	uint64_t key;
};

struct idmap { /* zero-initialised is empty */
	struct idmap_node *buckets[IDMAP_BUCKETS];
	uint32_t count;
};

static inline struct idmap_node **idmap_slot(struct idmap *map, uint64_t key)
{
	struct idmap_node **slot = &map->buckets[(key * 0x9e3779b97f4a7c15ull) >> 54];
	while (*slot && (*slot)->key != key)
		slot = &(*slot)->next;
	return slot;
}

static inline struct idmap_node *idmap_find(struct idmap *map, uint64_t key)
{
	return *idmap_slot(map, key);
}

/* the key must not be there */
static inline void idmap_add(struct idmap *map, struct idmap_node *node, uint64_t key)
{
	struct idmap_node **slot = idmap_slot(map, key);
	node->key = key;
	node->next = NULL;
	*slot = node;
	map->count++;
}

/* node must be there */
static inline void idmap_remove(struct idmap *map, struct idmap_node *node)
{
	struct idmap_node **slot = idmap_slot(map, node->key);
	*slot = node->next;
	node->next = NULL;
	map->count--;
}

/* any record, or NULL: for emptying; start with *io_bucket 0 */
static inline struct idmap_node *idmap_any(struct idmap *map, uint32_t *io_bucket)
{
	while (*io_bucket < IDMAP_BUCKETS && !map->buckets[*io_bucket])
		(*io_bucket)++;
	return *io_bucket < IDMAP_BUCKETS ? map->buckets[*io_bucket] : NULL;
}

#define idmap_entry(node, type, member) container_of(node, type, member)

#endif
