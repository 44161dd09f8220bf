/* A rametd in each guest (guest.h), whose data goes by RDMA alone. */
#ifndef BENCH_GUEST_DAEMONS_H
#define BENCH_GUEST_DAEMONS_H

#include "base/err.h"
#include "bench/guest.h"

#include <limits.h>
#include <stdbool.h>

#define GUEST_DAEMONS_MAX 4

struct guest_daemons {
	char bin[PATH_MAX / 4]; /* of the running program, where the others are, too */
	char dir[PATH_MAX / 2]; /* configurations and logs, where all guests see them */
	unsigned count;
	struct guest_program programs[GUEST_DAEMONS_MAX];
};

/* guest_daemons_start - as many as there are guests; returns when each is up for the first. To be
 * ended also after a failure. */
int guest_daemons_start(struct guest_daemons *daemons, struct ramet_err *err);
/* guest_daemons_end - failed: what they have logged goes to stderr */
void guest_daemons_end(struct guest_daemons *daemons, bool failed);
/* guest_daemons_socket - of this guest's, for clients */
const char *guest_daemons_socket(void);

#endif
