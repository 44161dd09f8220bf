/* A bus without a network: what a node says is dropped, what it hears is what a fuzzer says. It
 * replaces all of cluster/bus.h. */
#ifndef TESTS_FUZZ_FAKE_BUS_H
#define TESTS_FUZZ_FAKE_BUS_H

#include "cluster/bus.h"

/* fake_bus_hear - a message of a peer: of the type that the body's key "t" names, or else the one
 * of handler number `which`, modulo how many there are */
void fake_bus_hear(struct bus *bus, uint32_t node, unsigned which, const struct wire_value *body);
/* fake_bus_answer - the answer to the request that waits for the longest time; error or body as in
 * bus_answer_fn. Without such a request: nothing. */
void fake_bus_answer(struct bus *bus, const struct wire_value *body, const struct ramet_err *error);
/* fake_bus_part - a part of the answer to the request that has wanted parts for the longest time */
void fake_bus_part(struct bus *bus, const struct wire_value *body);
unsigned fake_bus_asked(const struct bus *bus); /* requests that wait */
/* fake_bus_reset - every request of ours fails */
void fake_bus_reset(struct bus *bus);

#endif
