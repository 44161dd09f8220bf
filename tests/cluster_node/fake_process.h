/* What the two halves of fake_spawn.h share: ramet-spawn, and the processes that it is said to have
 * made. */
#ifndef TESTS_CLUSTER_NODE_FAKE_PROCESS_H
#define TESTS_CLUSTER_NODE_FAKE_PROCESS_H

#include "base/frame.h"
#include "base/list.h"
#include "base/loop.h"
#include "tests/cluster_node/fake_spawn.h"

#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum fake_job_kind { FAKE_DONE, FAKE_BEGIN, FAKE_EXIT };

/* a request's completion, or what a process does next; always told from the loop */
struct fake_job {
	struct list link;
	enum fake_job_kind kind;
	uint64_t req;
	uint64_t inst;
	SPAWN_DONE(done);
	void *user;
	struct spawn_result result;
	struct spawn_exit how;
};

struct fake_process {
	struct list link;
	struct spawn_client *client;
	uint64_t inst;
	bool host, ending;
	struct frame_conn *conn;
	int log_fd;
	struct loop_timer deadline;
	uint64_t call, held; /* held: the call of `hold` that waits */
};

struct spawn_client {
	struct fake *fake;
	struct list processes, jobs;
	struct loop_timer timer;
	const struct spawn_handler *handler;
	void *user;
	uint64_t next_req;
	struct list link;
};

/* what the last host that was asked for a capture wants of it */
extern atomic_bool fake_capture_fails;
extern _Atomic uint64_t fake_capture_class;

/* captures wait for fake_capture_go, and are counted meanwhile */
extern atomic_bool fake_capture_waits;
extern atomic_uint fake_captures_waiting;
extern sem_t fake_capture_go;

/* fake_job_new - done soon, from the loop */
struct fake_job *fake_job_new(struct spawn_client *client, enum fake_job_kind kind);

/* fake_process_new - takes over the descriptors */
int fake_process_new(struct spawn_client *client, uint64_t inst, bool host, int control, int log);
void fake_process_begin(struct fake_process *p); /* says that it runs */
void fake_process_release(struct fake_process *p); /* answers a call of `hold` */
void fake_process_end(struct fake_process *p, int status, int signal);
void fake_process_free(struct fake_process *p);

#endif
