/* Intrusive doubly linked list with a sentinel head. */
#ifndef BASE_LIST_H
#define BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list {
	struct list *prev, *next;
};

static inline void list_init(struct list *l)
{
	l->prev = l->next = l;
}

static inline bool list_empty(const struct list *head)
{
	return head->next == head;
}

static inline void list_insert(struct list *after, struct list *item)
{
	item->prev = after;
	item->next = after->next;
	after->next->prev = item;
	after->next = item;
}

static inline void list_append(struct list *head, struct list *item)
{
	list_insert(head->prev, item);
}

/* unlinks item and leaves it an empty list, so that removing it twice does no harm */
static inline void list_remove(struct list *item)
{
	item->prev->next = item->next;
	item->next->prev = item->prev;
	list_init(item);
}

/* unlinks and returns the first item, or NULL */
static inline struct list *list_pop(struct list *head)
{
	struct list *item = head->next;
	if (item == head)
		return NULL;
	head->next = item->next;
	head->next->prev = head;
	list_init(item);
	return item;
}

#define list_entry(ptr, type, member) ((type *)(void *)((char *)(ptr) - offsetof(type, member)))
#define list_first(head, type, member) list_entry((head)->next, type, member)
#define list_for_each(pos, head, type, member) \
	for (type *pos = list_entry((head)->next, type, member); &pos->member != (head); \
		pos = list_entry(pos->member.next, type, member))
#define list_for_each_safe(pos, head, type, member) \
	for (type *pos = list_entry((head)->next, type, member), \
		  *pos##_next = list_entry(pos->member.next, type, member); \
		&pos->member != (head); \
		pos = pos##_next, pos##_next = list_entry(pos->member.next, type, member))

#endif
