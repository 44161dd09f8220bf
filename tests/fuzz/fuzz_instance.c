/* What an instance, which the tenant's code may have taken over, says to rametd: frames at any
 * moment of a call. */
#include "tests/fuzz/fuzz.h"

#include "base/clock.h"
#include "cluster/instances_internal.h"
#include "tests/fuzz/fake_bus.h"
#include "tests/fuzz/fuzz_node.h"

#include <stdlib.h>
#include <string.h>

static void on_done(void *user, const struct call_result *result)
{
	(void)result;
	++*(unsigned *)user;
}

/* every byte of it must be there */
static void on_event(void *user, const struct call_event *event)
{
	static volatile unsigned sum;
	const unsigned char *chunk = event->chunk;
	(void)user;
	for (size_t i = 0; i < event->len; i++)
		sum += chunk[i];
	for (size_t i = 0; i < event->text_len; i++)
		sum += (unsigned char)event->text[i];
}

static struct instance *busy(const struct node *node)
{
	list_for_each (inst, &node->instances->list, struct instance, link)
		if (inst->call != 0 && inst->state == INSTANCE_BUSY)
			return inst;
	return NULL;
}

static void say(struct instance *inst, const struct fuzz_part *part)
{
	struct ramet_err err = {0};
	if (instance_check_frame(inst, part->data, part->len, NULL, 0, &err) < 0)
		instance_fail(inst, &err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct world *world = fuzz_node();
	struct node *node = world->nodes[0];
	const struct call_request request = {
		.tenant = WORLD_UID,
		.function = "hang",
		.data = "1",
		.len = 1,
		.on_event = on_event,
	};
	static unsigned done;
	char id[CALL_ID_MAX];
	struct fuzz_part part;
	unsigned before = done;
	uint64_t end = now_ns() + 5 * NSEC_PER_SEC;
	if (calls_submit(node->calls, &request, on_done, &done, id, NULL) < 0)
		abort();
	while (!busy(node) && done == before) {
		(void)loop_turn(world->loop, NSEC_PER_MSEC, NULL);
		if (now_ns() > end)
			abort(); /* no instance could be had */
	}
	for (unsigned n = 0; n < 16 && fuzz_part_next(&data, &len, &part); n++) {
		struct instance *inst = busy(node);
		if (!inst)
			break;
		say(inst, &part);
		if (part.which % 2)
			calls_taken(node->calls, id, part.what * 1024);
		fuzz_node_turn();
	}
	(void)calls_cancel(node->calls, 0, id);
	while (done == before) {
		(void)loop_turn(world->loop, NSEC_PER_MSEC, NULL);
		if (now_ns() > end)
			abort(); /* the call hangs */
	}
	return 0;
}
