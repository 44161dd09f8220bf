/* See fake_bus.h. */
#include "tests/fuzz/fake_bus.h"

#include "base/cleanup.h"
#include "base/list.h"

#include <stdlib.h>
#include <string.h>

#define ASKED_MAX 256u

struct asked {
	struct list link;
	uint64_t id;
	bus_answer_fn *fn;
	bus_part_fn *on_part;
	void *user;
};

struct bus {
	struct bus_options options;
	struct list asked, requests;
	unsigned nasked;
	uint64_t next_id;
};

struct bus_request {
	struct list link;
	uint32_t node;
};

int bus_create(const struct bus_options *options, struct bus **ret_bus, struct ramet_err *err)
{
	struct bus *bus = calloc(1, sizeof(*bus));
	if (!bus)
		return err_nomem(err);
	bus->options = *options;
	list_init(&bus->asked);
	list_init(&bus->requests);
	*ret_bus = bus;
	return 0;
}

static void asked_end(struct bus *bus, struct asked *asked, const struct wire_value *body,
	const struct ramet_err *error)
{
	bus_answer_fn *fn = asked->fn;
	void *user = asked->user;
	list_remove(&asked->link);
	bus->nasked--;
	free(asked);
	if (fn)
		fn(user, body, error);
}

void fake_bus_reset(struct bus *bus)
{
	struct ramet_err err = {0};
	err_set(&err, RAMET_ECLOSED, "the end");
	for (unsigned n = bus->nasked; n > 0 && !list_empty(&bus->asked); n--)
		asked_end(bus, list_first(&bus->asked, struct asked, link), NULL, &err);
}

void bus_destroy(struct bus *bus)
{
	if (!bus)
		return;
	while (!list_empty(&bus->asked))
		fake_bus_reset(bus);
	list_for_each_safe (request, &bus->requests, struct bus_request, link)
		free(request);
	free(bus);
}

const char *bus_addr(const struct bus *bus)
{
	(void)bus;
	return "127.0.0.1:1";
}

int bus_add_peer(struct bus *bus, uint32_t node, const char *addr, struct ramet_err *err)
{
	(void)addr;
	(void)err;
	bus->options.on_link(bus->options.user, node, true);
	return 0;
}

void bus_peer_down(struct bus *bus, uint32_t node)
{
	(void)node;
	fake_bus_reset(bus);
}

int bus_call(struct bus *bus, uint32_t node, const char *type, struct buf *body,
	uint64_t timeout_ns, bus_answer_fn *fn, void *user, uint64_t *ret_id, struct ramet_err *err)
{
	(void)node;
	(void)type;
	(void)timeout_ns;
	if (body)
		buf_fini(body);
	struct asked *asked = bus->nasked < ASKED_MAX ? calloc(1, sizeof(*asked)) : NULL;
	if (!asked)
		return err_set(err, RAMET_EAGAIN, "too many requests");
	*asked = (struct asked){.id = ++bus->next_id, .fn = fn, .user = user};
	list_append(&bus->asked, &asked->link);
	bus->nasked++;
	if (ret_id)
		*ret_id = asked->id;
	return 0;
}

void bus_want_parts(struct bus *bus, uint64_t id, bus_part_fn *fn)
{
	list_for_each (asked, &bus->asked, struct asked, link)
		if (asked->id == id)
			asked->on_part = fn;
}

void bus_forget(struct bus *bus, uint64_t id)
{
	list_for_each (asked, &bus->asked, struct asked, link)
		if (asked->id == id)
			asked->fn = NULL;
}

void bus_notify(struct bus *bus, uint32_t node, const char *type, struct buf *body)
{
	(void)bus;
	(void)node;
	(void)type;
	if (body)
		buf_fini(body);
}

uint32_t bus_request_node(const struct bus_request *request)
{
	return request->node;
}

void bus_part(struct bus_request *request, struct buf *body)
{
	(void)request;
	buf_fini(body);
}

void bus_reply(struct bus_request *request, struct buf *body)
{
	if (body)
		buf_fini(body);
	list_remove(&request->link);
	free(request);
}

void bus_reply_err(struct bus_request *request, const struct ramet_err *error)
{
	if (error->code == 0)
		abort(); /* a refusal without a reason */
	bus_reply(request, NULL);
}

static const struct bus_handler *handler_of(
	const struct bus_options *o, unsigned which, const struct wire_value *body)
{
	char type[32];
	if (wire_get_str(body, "t", type, sizeof(type), NULL) == 0)
		for (unsigned i = 0; i < o->nhandlers; i++)
			if (strcmp(o->handlers[i].type, type) == 0)
				return &o->handlers[i];
	return &o->handlers[which % o->nhandlers];
}

void fake_bus_hear(struct bus *bus, uint32_t node, unsigned which, const struct wire_value *body)
{
	const struct bus_options *o = &bus->options;
	struct bus_request *request = calloc(1, sizeof(*request));
	const struct wire_value *load = NULL;
	if (!request)
		return;
	request->node = node;
	list_append(&bus->requests, &request->link);
	if (wire_has(body, "load"))
		(void)wire_get_map(body, "load", &load, NULL);
	o->on_heard(o->user, node, load);
	handler_of(o, which, body)->fn(o->user, request, body);
}

void fake_bus_answer(struct bus *bus, const struct wire_value *body, const struct ramet_err *error)
{
	if (!list_empty(&bus->asked))
		asked_end(bus, list_first(&bus->asked, struct asked, link), body, error);
}

void fake_bus_part(struct bus *bus, const struct wire_value *body)
{
	list_for_each (asked, &bus->asked, struct asked, link) {
		if (asked->fn && asked->on_part) {
			asked->on_part(asked->user, body);
			return;
		}
	}
}

unsigned fake_bus_asked(const struct bus *bus)
{
	return bus->nasked;
}
