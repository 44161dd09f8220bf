/* Two nodes' buses in one process: see bus_pair.h. */
#include "tests/cluster/bus_pair.h"

#include "tests/lib/suite.h"

static void on_link(void *user, uint32_t node, bool up)
{
	struct bus_side *side = user;
	if (up)
		side->ups++;
	else
		side->downs++;
}

bool bus_pair_init(struct bus_pair *pair, const struct bus_handler *handlers, unsigned count)
{
	struct ramet_err err = {0};
	*pair = (struct bus_pair){0};
	bool ok = suite_check_ok(
		loop_create(&pair->loop, &err), &err, "loop_create", __FILE__, __LINE__);
	for (unsigned i = 0; ok && i < 2; i++) {
		struct bus_side *side = &pair->side[i];
		side->node = i + 1;
		side->options = (struct bus_options){
			.loop = pair->loop,
			.node = i + 1,
			.listen = "127.0.0.1:0",
			.handlers = handlers,
			.nhandlers = count,
			.user = side,
			.on_link = on_link,
		};
		ok = suite_check_ok(bus_create(&side->options, &side->bus, &err), &err,
			"bus_create", __FILE__, __LINE__);
	}
	return ok;
}

void bus_pair_fini(struct bus_pair *pair)
{
	for (unsigned i = 0; i < 2; i++)
		bus_destroy(pair->side[i].bus);
	loop_destroy(pair->loop);
}

void bus_pair_link(struct bus_pair *pair, unsigned a, unsigned b)
{
	struct ramet_err err = {0};
	suite_check_ok(bus_add_peer(pair->side[a].bus, pair->side[b].node,
			       bus_addr(pair->side[b].bus), &err),
		&err, "bus_add_peer", __FILE__, __LINE__);
}
