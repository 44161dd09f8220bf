/* Who may have pages of a seed: its key, tenant and epoch, what is refused, and how pages come when
 * a peer's memory cannot be read. */
#include "tests/cluster_node/world.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fault.h"
#include "cluster/bus.h"
#include "cluster/members.h"
#include "rfork/page_source.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const struct world_options two_nodes = {.nodes = 2};

/* the answer of node 1 to node 2 */
struct told {
	unsigned count;
	int code;
	size_t data_len;
};

static void on_told(void *user, const struct wire_value *body, const struct ramet_err *error)
{
	struct told *told = user;
	const void *data = NULL;
	told->count++;
	told->code = error ? error->code : 0;
	if (!error && wire_has(body, "data"))
		wire_get_bin(body, "data", &data, &told->data_len, NULL);
}

struct asked {
	const char *type;
	struct seed_key key;
	uint32_t uid;
	const uint32_t *pages;
	size_t bytes; /* of pages */
};

static struct told ask(struct world *w, const struct asked *asked)
{
	struct buf b = {0};
	struct told told = {0};
	struct ramet_err err = {0};
	wire_map(&b, 3 + SEED_KEY_PAIRS);
	wire_kstr(&b, "version", w->app->id);
	wire_kuint(&b, "uid", asked->uid);
	seed_key_pack(&asked->key, &b);
	wire_kbin(&b, "pages", asked->pages, asked->bytes);
	int rc = bus_call(w->nodes[1]->bus, 1, asked->type, &b, 0, on_told, &told, NULL, &err);
	CHECK_INT(rc, 0);
	CHECK(rc < 0 || world_until(w, &told.count, 1));
	return told;
}

static const struct holding *held(struct world *w)
{
	const struct member *m = members_find(w->nodes[1]->members, 1);
	return m ? member_holds(m, w->app->id) : NULL;
}

static bool is_held(struct world *w)
{
	return held(w) != NULL;
}

static bool is_not_held(struct world *w)
{
	return !is_held(w);
}

static bool begin(struct world *w, struct asked *asked)
{
	if (!CHECK(world_init(w, &two_nodes)) ||
		!CHECK(world_deploy(w, 0, &(struct world_app){0})) ||
		!CHECK(world_until_true(w, is_held)))
		return false;
	*asked = (struct asked){"seed.get", held(w)->key, WORLD_UID, NULL, 0};
	return true;
}

static void test_key_tenant_and_secret_are_needed(void)
{
	static const char *const types[] = {"seed.get", "seed.source", "seed.pages", "seed.set"};
	struct world w;
	struct asked asked;
	REQUIRE(begin(&w, &asked));
	const struct asked right = asked;
	static const struct seed_key none;
	CHECK(memcmp(right.key.secret, none.secret, sizeof(none.secret)) != 0);
	for (unsigned i = 0; i < ARRAY_LEN(types); i++) {
		asked = right;
		asked.type = types[i];
		if (i < 3)
			CHECK_INT(ask(&w, &asked).code, 0);
		asked.key.secret[SEED_SECRET_BYTES - 1] ^= 1;
		CHECK_INT(ask(&w, &asked).code, RAMET_EPERM);
		asked.key = right.key;
		asked.uid++;
		CHECK_INT(ask(&w, &asked).code, RAMET_ENOTFOUND);
		asked.uid--;
		asked.key.epoch++;
		CHECK_INT(ask(&w, &asked).code, RAMET_EREVOKED);
		asked.key = right.key;
		asked.key.seed_id[0] ^= 1;
		CHECK_INT(ask(&w, &asked).code, RAMET_EREVOKED);
	}
	world_fini(&w);
}

static void test_epoch_rises_with_a_removal(void)
{
	struct world w;
	struct asked asked;
	REQUIRE(begin(&w, &asked));
	CHECK_INT(asked.key.epoch, 1);
	seeds_drop(w.nodes[0]->seeds, WORLD_UID, w.app->id, true);
	CHECK_INT(ask(&w, &asked).code, RAMET_EREVOKED); /* before anything is made anew */
	REQUIRE(world_until_true(&w, is_not_held));
	struct made made;
	world_make(&w, 0, &(struct world_app){0}, &made);
	CHECK_INT(made.seed.error.err.code, 0);
	REQUIRE(world_until_true(&w, is_held));
	CHECK_INT(held(&w)->key.epoch, 2);
	CHECK_INT(ask(&w, &asked).code, RAMET_EREVOKED);
	asked.key = held(&w)->key;
	CHECK_INT(ask(&w, &asked).code, 0);
	world_fini(&w);
}

static void test_pages_by_message_are_bounded(void)
{
	uint32_t pages[PAGE_READ_MAX + 1] = {0, 1, 2};
	struct world w;
	struct asked asked;
	REQUIRE(begin(&w, &asked));
	asked.type = "seed.pages";
	asked.pages = pages;
	asked.bytes = 3 * sizeof(*pages);
	struct told told = ask(&w, &asked);
	CHECK_INT(told.code, 0);
	CHECK_INT(told.data_len, 3 * RFORK_PAGE);
	asked.bytes = 7;
	CHECK_INT(ask(&w, &asked).code, RAMET_EPROTO);
	asked.bytes = sizeof(pages);
	CHECK_INT(ask(&w, &asked).code, RAMET_EPROTO);
	asked.bytes = sizeof(pages) - sizeof(*pages);
	pages[5] = FAKE_PAGES;
	CHECK_INT(ask(&w, &asked).code, RAMET_EPROTO);
	pages[5] = UINT32_MAX;
	CHECK_INT(ask(&w, &asked).code, RAMET_EPROTO);
	pages[5] = 0;
	int code = 0;
	uint64_t end = now_ns() + WORLD_TIMEOUT_NS;
	while (code == 0 && now_ns() < end)
		code = ask(&w, &asked).code;
	CHECK_INT(code, RAMET_EAGAIN); /* faster than it is allowed */
	world_fini(&w);
}

#ifdef RAMET_FAULT_POINTS
static bool has_copy(struct world *w)
{
	const struct member *m = members_find(w->nodes[0]->members, 2);
	const struct holding *h = m ? member_holds(m, w->app->id) : NULL;
	return h && !h->origin;
}

/* a call on node 0 of the seed that it does not have, while its first reads of pages fail */
static void fork_while_reads_fail(struct world *w, unsigned reads)
{
	fault_set("pager.read", 0, reads);
	struct outcome o = world_call(w, 0, "echo", 2);
	CHECK_INT(o.result.error.err.code, 0);
	CHECK_INT(o.result.start, START_REMOTE_FORK);
	outcome_fini(&o);
}

/* the first source fails for a while, and the control plane brings the page */
static void test_pages_come_by_message_in_the_end(void)
{
	struct world w;
	struct asked asked;
	REQUIRE(begin(&w, &asked));
	fork_while_reads_fail(&w, 1);
	CHECK(world_until_true(&w, has_copy));
	fault_set("pager.read", 0, 0);
	CHECK_INT(w.fakes[1].hosts, 0);
	world_fini(&w);
}

static bool has_no_seed(struct world *w)
{
	return seeds_count(w->nodes[1]->seeds) == 0;
}

/* nobody is left who has the pages: a copy that cannot be completed does not stay */
static void test_copy_without_a_source_goes(void)
{
	struct world w;
	struct asked asked;
	REQUIRE(begin(&w, &asked));
	fork_while_reads_fail(&w, 1000000);
	world_stop_node(&w, 0);
	fault_set("pager.read", 0, 0);
	CHECK(world_until_true(&w, has_no_seed));
	world_fini(&w);
}
#define FAULT_TESTS \
	, TEST(test_pages_come_by_message_in_the_end), TEST(test_copy_without_a_source_goes)
#else
#define FAULT_TESTS
#endif

SUITE_MAIN("trust", TEST(test_key_tenant_and_secret_are_needed),
	TEST(test_epoch_rises_with_a_removal), TEST(test_pages_by_message_are_bounded) FAULT_TESTS)
