/* What `ramet doctor` says of this machine's RDMA devices: which there are, their limits, what
 * holds them back, and what to change. */
#ifndef TRANSPORT_RDMA_ADVICE_H
#define TRANSPORT_RDMA_ADVICE_H

#include <stdbool.h>

struct rdma_advice {
	bool devices; /* there are some */
	char detail[512];
	const char *remedy, *cost; /* "": nothing to change */
};

void rdma_advise(struct rdma_advice *ret_advice);

#endif
