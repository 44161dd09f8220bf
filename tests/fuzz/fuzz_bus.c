/* What other nodes say: every request and notice, in any order, and the answers to what a node asks
 * in consequence. Parts (fuzz_node.h): `what` even: a message of type `which`; odd: an answer, or,
 * if `which` is odd too, an error, or, 3 of 4, a part of an answer. */
#include "tests/fuzz/fuzz.h"

#include "cluster/bus_proto.h"
#include "tests/fuzz/fake_bus.h"
#include "tests/fuzz/fuzz_node.h"

static void say(struct bus *bus, const struct fuzz_part *part)
{
	const struct wire_limits limits = {
		.bytes = BUS_MAX_MESSAGE, .depth = BUS_WIRE_DEPTH, .items = BUS_WIRE_ITEMS};
	struct wire_msg *msg = NULL;
	struct ramet_err err = {0};
	if (part->what % 2 && part->which % 2) {
		err_set(&err, RAMET_EPEER, "said the fuzzer");
		fake_bus_answer(bus, NULL, &err);
		return;
	}
	if (wire_parse(part->data, part->len, limits, &msg, &err) < 0)
		return;
	const struct wire_value *body = wire_root(msg);
	if (wire_is_map(body) && part->what % 4 == 3)
		fake_bus_part(bus, body);
	else if (wire_is_map(body) && part->what % 2)
		fake_bus_answer(bus, body, NULL);
	else if (wire_is_map(body))
		fake_bus_hear(bus, 2 + part->what / 2 % 2, part->which, body);
	wire_free(msg);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct bus *bus = fuzz_node()->nodes[0]->bus;
	struct fuzz_part part;
	for (unsigned n = 0; n < 16 && fuzz_part_next(&data, &len, &part); n++) {
		say(bus, &part);
		fuzz_node_turn();
	}
	fake_bus_reset(bus);
	fuzz_node_turn();
	return 0;
}
