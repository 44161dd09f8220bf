/* Sharing between `mem` transports of several threads: references, posts, and the registry of
 * addresses. */
#include "transport/mem_link.h"

#include "base/list.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int mem_node_create(struct loop *loop, struct segment_table *table, struct mem_node **ret_node,
	struct ramet_err *err)
{
	struct mem_node *node = calloc(1, sizeof(*node));
	if (!node)
		return err_nomem(err);
	atomic_init(&node->refs, 1);
	atomic_init(&node->stopped_ns, 0);
	pthread_mutex_init(&node->lock, NULL);
	node->loop = loop;
	node->table = segment_table_get(table);
	*ret_node = node;
	return 0;
}

struct mem_node *mem_node_get(struct mem_node *node)
{
	atomic_fetch_add_explicit(&node->refs, 1, memory_order_relaxed);
	return node;
}

void mem_node_put(struct mem_node *node)
{
	if (!node || atomic_fetch_sub_explicit(&node->refs, 1, memory_order_acq_rel) > 1)
		return;
	segment_table_put(node->table);
	pthread_mutex_destroy(&node->lock);
	free(node);
}

void mem_node_close(struct mem_node *node)
{
	node->owner = NULL;
	pthread_mutex_lock(&node->lock);
	node->loop = NULL;
	pthread_mutex_unlock(&node->lock);
}

struct mem_link *mem_link_create(struct mem_node *client, struct mem_node *server)
{
	struct mem_link *link = calloc(1, sizeof(*link));
	if (!link)
		return NULL;
	atomic_init(&link->refs, 1);
	link->side[0].node = mem_node_get(client);
	link->side[1].node = mem_node_get(server);
	return link;
}

struct mem_link *mem_link_get(struct mem_link *link)
{
	atomic_fetch_add_explicit(&link->refs, 1, memory_order_relaxed);
	return link;
}

void mem_link_put(struct mem_link *link)
{
	if (!link || atomic_fetch_sub_explicit(&link->refs, 1, memory_order_acq_rel) > 1)
		return;
	mem_node_put(link->side[0].node);
	mem_node_put(link->side[1].node);
	free(link);
}

struct mem_event *mem_event_new(struct mem_link *link, unsigned side, enum mem_event_kind kind,
	const void *data, size_t len)
{
	struct mem_event *event = calloc(1, sizeof(*event) + len);
	if (!event)
		return NULL;
	event->link = mem_link_get(link);
	event->side = side;
	event->kind = kind;
	event->len = len;
	if (len)
		memcpy(event->data, data, len);
	return event;
}

void mem_event_free(struct mem_event *event)
{
	mem_link_put(event->link);
	free(event);
}

static void mem_event_on_task(struct loop_task *task)
{
	mem_event_run(container_of(task, struct mem_event, task));
}

bool mem_event_post(struct mem_event *event)
{
	struct mem_node *node = event->link->side[event->side].node;
	event->task.fn = mem_event_on_task;
	pthread_mutex_lock(&node->lock);
	bool open = node->loop != NULL;
	if (open)
		loop_post(node->loop, &event->task);
	pthread_mutex_unlock(&node->lock);
	if (!open)
		mem_event_free(event);
	return open;
}

struct registered {
	struct list link;
	struct mem_node *node;
	char addr[TRANSPORT_ADDR_MAX];
};

static pthread_mutex_t registry_lock = PTHREAD_MUTEX_INITIALIZER;
static struct list registry = {&registry, &registry};

static struct registered *registry_lookup(const char *addr)
{
	list_for_each (entry, &registry, struct registered, link) {
		if (strcmp(entry->addr, addr) == 0)
			return entry;
	}
	return NULL;
}

int mem_registry_add(const char *addr, struct mem_node *node, struct ramet_err *err)
{
	struct registered *entry = calloc(1, sizeof(*entry));
	if (!entry)
		return err_nomem(err);
	snprintf(entry->addr, sizeof(entry->addr), "%s", addr);
	entry->node = mem_node_get(node);

	pthread_mutex_lock(&registry_lock);
	bool taken = registry_lookup(addr) != NULL;
	if (!taken)
		list_append(&registry, &entry->link);
	pthread_mutex_unlock(&registry_lock);
	if (!taken)
		return 0;
	mem_node_put(node);
	free(entry);
	return err_set(err, RAMET_EEXIST, "listen on %s: the address is in use", addr);
}

void mem_registry_remove(const char *addr)
{
	pthread_mutex_lock(&registry_lock);
	struct registered *entry = registry_lookup(addr);
	if (entry)
		list_remove(&entry->link);
	pthread_mutex_unlock(&registry_lock);
	if (!entry)
		return;
	mem_node_put(entry->node);
	free(entry);
}

struct mem_node *mem_registry_find(const char *addr)
{
	pthread_mutex_lock(&registry_lock);
	struct registered *entry = registry_lookup(addr);
	struct mem_node *node = entry ? mem_node_get(entry->node) : NULL;
	pthread_mutex_unlock(&registry_lock);
	return node;
}
