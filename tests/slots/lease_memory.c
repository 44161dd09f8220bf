#include "tests/slots/lease_memory.h"

#include "base/err.h"
#include "tests/lib/suite.h"

#include <fcntl.h>
#include <string.h>

static int open_as(struct lease_memory *m, bool once)
{
	struct ramet_err err = {0};
	memset(m, 0, sizeof(*m));
	int rc = slots_create(once, &m->keeper, &err);
	if (rc == 0)
		rc = slots_open(fcntl(m->keeper.fd, F_DUPFD_CLOEXEC, 0), &m->client.slots, &err);
	if (rc == 0)
		rc = slots_open(fcntl(m->keeper.fd, F_DUPFD_CLOEXEC, 0), &m->instance.slots, &err);
	return suite_check_ok(rc, &err, "lease_memory_open", __FILE__, __LINE__);
}

int lease_memory_open(struct lease_memory *m)
{
	return open_as(m, false);
}

int lease_memory_open_once(struct lease_memory *m)
{
	return open_as(m, true);
}

void lease_memory_close(struct lease_memory *m)
{
	slots_close(&m->client.slots);
	slots_close(&m->instance.slots);
	slots_close(&m->keeper);
}

int lease_memory_submit(struct lease_memory *m, const void *data, size_t len, uint64_t deadline_ns)
{
	const struct slots_request request = {
		.data = data, .len = len, .deadline_ns = deadline_ns, .span_ms = 5, .size = 1};
	unsigned slot = 0;
	bool wake;
	int rc = slots_submit(&m->client, &request, &slot, &wake);
	return rc < 0 ? rc : (int)slot;
}

int lease_memory_serve(struct lease_memory *m)
{
	struct slots_call call;
	int rc = slots_take(&m->instance, &call);
	if (rc != 1)
		return rc;
	unsigned char *to = slots_output(&m->instance, &call, call.len);
	if (!CHECK(to != NULL))
		return RAMET_ENOMEM;
	if (to != call.data && call.len > 0)
		memcpy(to, call.data, call.len);
	for (size_t i = 0; i < call.len; i += lease_memory_step(call.len))
		to[i] = (unsigned char)~to[i];
	const struct slots_outcome outcome = {.len = call.len, .binary = call.binary, .run_ns = 7};
	(void)slots_finish(&m->instance, &call, &outcome);
	return rc;
}
