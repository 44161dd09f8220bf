/* A few threads for what blocks: hashing, unpacking, capturing. Work runs in the order it was
 * given, on any of them; its `done` comes back on the loop of the pool's owner. When the node ends,
 * what takes long gives up: it looks at cancel_asked() (base/cancel.h). */
#ifndef CLUSTER_WORKERS_H
#define CLUSTER_WORKERS_H

#include "base/err.h"
#include "base/loop.h"

struct workers;

/* Embedded in its user, owned by the pool from workers_submit() until done runs; done may free it.
 */
struct work {
	void (*run)(struct work *work); /* on a worker thread; shares nothing that the loop touches
					   meanwhile */
	void (*done)(struct work *work); /* on the loop */
	struct work *next;
};

int workers_create(
	struct loop *loop, unsigned threads, struct workers **ret_workers, struct ramet_err *err);
/* workers_hurry - from now on work is asked to give up. Loop thread; NULL is fine. */
void workers_hurry(struct workers *workers);
/* workers_destroy - hurries; work that was submitted is run all the same, and its done is called
 * from within; NULL is fine. Loop thread. Owners of work that may be gone by then must say so in
 * the work. */
void workers_destroy(struct workers *workers);
void workers_submit(
	struct workers *workers, struct work *work); /* run and done are set; loop thread */

#endif
