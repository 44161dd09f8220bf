/* The two sides of the transport suite's fixture together; see transport_pair.h. */
#include "tests/conformance/transport_pair.h"
#include "tests/conformance/transport_apart.h"

#include "base/clock.h"
#include "base/fault.h"

#include <stdio.h>
#include <string.h>

int pair_open(struct pair *p, const struct transport_options *options)
{
	memset(p, 0, sizeof(*p));
	p->fds = suite_count_fds();
	if (!server_open(&p->server, PROVIDER.addr, options) || !client_open(&p->client, options))
		return 0;
	client_connect(&p->client, &p->server);
	p->ok = p->client.connected == 1 && counter_wait(&p->server.connected, 1);
	return CHECK(p->ok);
}

/* the other process waits, and answers when it has come to that or takes too long */
static int wait_apart(struct pair *p, struct counter *counter, unsigned count)
{
	struct ramet_err err = {0};
	if (!apart_wait_begin(counter, count))
		return 0;
	uint64_t deadline = now_ns() + 2 * WAIT_NS;
	while (!apart_answered() && now_ns() < deadline) {
		if (loop_turn(p->client.loop, NSEC_PER_MSEC, &err) < 0)
			break;
	}
	apart_wait_end(counter);
	return counter->count >= count;
}

int pair_wait(struct pair *p, struct counter *counter, unsigned count)
{
	struct ramet_err err = {0};
	uint64_t deadline = now_ns() + WAIT_NS;
	if (counter->far)
		return wait_apart(p, counter, count);
	while (counter_get(counter) < count && now_ns() < deadline) {
		if (loop_turn(p->client.loop, NSEC_PER_MSEC, &err) < 0)
			return 0;
	}
	return counter_get(counter) >= count;
}

void pair_close(struct pair *p)
{
	client_close(&p->client);
	server_close(&p->server);
	CHECK_INT(suite_count_fds(), p->fds);
}

static SHARED struct {
	char name[48];
	unsigned skip, count;
} fault;

static void fault_there(void)
{
	fault_set(fault.name, fault.skip, fault.count);
}

void pair_fault(const char *name, unsigned skip, unsigned count)
{
	snprintf(fault.name, sizeof(fault.name), "%s", name);
	fault.skip = skip;
	fault.count = count;
	server_run(fault_there);
	if (apart())
		fault_there();
}

static uint64_t waited_for_processor(void)
{
	unsigned long long waited = 0;
	FILE *f = fopen("/proc/thread-self/schedstat", "re");
	if (f) { /* else the kernel does not count */
		CHECK_INT(fscanf(f, "%*u %llu", &waited), 1);
		fclose(f);
	}
	return waited;
}

struct stopwatch stopwatch(void)
{
	return (struct stopwatch){now_ns(), waited_for_processor()};
}

uint64_t elapsed(const struct stopwatch *watch)
{
	uint64_t waited = waited_for_processor() - watch->waited_ns;
	uint64_t passed = now_ns() - watch->start_ns;
	return passed > waited ? passed - waited : 0;
}
