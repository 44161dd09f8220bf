/* Storing pages in an image's memfd while the next ones are read: a fresh page of a memfd costs
 * more than reading the shadow's, so where there is a second CPU, a second thread does that half.
 */
#ifndef RFORK_CAPTURE_COPY_H
#define RFORK_CAPTURE_COPY_H

#include "ramet/error.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define COPY_PAGES 64 /* of a batch: small enough to stay in the CPU's cache */
#define COPY_BATCHES 4

struct copy_run {
	uint32_t first, count; /* pages of the batch */
	uint64_t offset; /* where they go in the memfd */
};

struct copy_batch {
	unsigned char *bytes; /* COPY_PAGES pages, for the caller to fill */
	unsigned used; /* of them */
	unsigned nruns;
	struct copy_run runs[COPY_PAGES];
};

struct capture_copy {
	int fd;
	unsigned char *memory;
	struct copy_batch batches[COPY_BATCHES]; /* a ring: [stored, put) wait to be stored */
	bool threaded, closing;
	int failed; /* errno of the first write that failed */
	uint64_t put, stored;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
};

/* fd: stays the caller's */
int capture_copy_init(struct capture_copy *copy, int fd, struct ramet_err *err);
/* capture_copy_fini - only after init() succeeded */
void capture_copy_fini(struct capture_copy *copy);
/* capture_copy_batch - the batch to fill, behind its `used` pages */
struct copy_batch *capture_copy_batch(struct capture_copy *copy);
/* capture_copy_used - count pages more of it are filled; from time to time it is stored */
void capture_copy_used(struct capture_copy *copy, unsigned count);
/* capture_copy_wait - until everything is stored. RAMET_EIO: it is not */
int capture_copy_wait(struct capture_copy *copy, struct ramet_err *err);

#endif
