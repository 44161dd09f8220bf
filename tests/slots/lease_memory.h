/* One lease's memory, mapped three times in this process: as client, instance and keeper have it.
 */
#ifndef TESTS_SLOTS_LEASE_MEMORY_H
#define TESTS_SLOTS_LEASE_MEMORY_H

#include "runtime/slots/slots.h"

struct lease_memory {
	struct slots_client client;
	struct slots_instance instance;
	struct slots keeper;
};

/* false, after a failed check */
int lease_memory_open(struct lease_memory *m);
int lease_memory_open_once(struct lease_memory *m); /* each slot has an instance of its own */
void lease_memory_close(struct lease_memory *m);
/* of large payloads only some bytes are looked at */
static inline size_t lease_memory_step(size_t len)
{
	return len > 65536 ? 4093 : 1;
}
/* submits len bytes; the slot, or the error */
int lease_memory_submit(struct lease_memory *m, const void *data, size_t len, uint64_t deadline_ns);
/* takes a call and answers it with its own input turned over; what slots_take() said */
int lease_memory_serve(struct lease_memory *m);

#endif
