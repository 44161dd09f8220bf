/* Calls by shared memory: a lease's slots, as its three parties use them.
 *
 *	client:   submit ── ready? take it, run, finish ── done? read the answer, release
 *	instance:           take, run, finish
 *	keeper:   rametd: makes the memory, ends what an instance leaves behind, and deadlines of
 *what waits
 *
 *	FREE ─ client ─> READY ─ instance, keeper ─> RUNNING ─ instance, keeper ─> DONE ─ client ─>
 *FREE └──────── client withdraws ────────> FREE
 *
 * A lease has one instance, which takes calls in the order in which they were submitted (ring). Or,
 *`once`, a line of instances, each of which waits for the one call of its slot, on a futex, answers
 *it, and ends.
 *
 * Whoever is the other side is hostile: what it writes cannot make one of these functions leave its
 *memory, loop, or fail otherwise than by its result. Each party uses its own struct from one thread
 *at a time. Nothing here allocates, waits or calls the kernel, except where it says so. layout.h
 *has the memory and the argument for its ordering. */
#ifndef RUNTIME_SLOTS_SLOTS_H
#define RUNTIME_SLOTS_SLOTS_H

#include "ramet/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SLOTS_COUNT 16u
#define SLOTS_PAYLOAD_MAX (64u << 20)
#define SLOTS_BINARY 1u

struct slot;
struct slots_header;
struct spin;

/* Everybody: the mapping. */
struct slots {
	struct slots_header *header;
	struct slot *slot; /* SLOTS_COUNT */
	unsigned char *bulk; /* NULL: not mapped, large payloads are not needed yet */
	int fd; /* of the memory, owned; -1: closed */
	bool once; /* each slot has an instance of its own, for one call */
};

/* slots_create - new memory, sealed against resizing, mapped. RAMET_EIO, RAMET_ENOMEM. */
int slots_create(bool once, struct slots *ret, struct ramet_err *err);
/* slots_open - map memory that another process made; takes fd when it succeeds. RAMET_EPROTO: it is
 * none of ours, or not sealed. */
int slots_open(int fd, struct slots *ret, struct ramet_err *err);
/* slots_adopt - the same, of memory that who made it has given us: nothing else could be. only: the
 * slot that alone will be looked at; -1: any */
int slots_adopt(int fd, int only, struct slots *ret, struct ramet_err *err);
/* slots_map_bulk - for payloads that do not fit a slot; does nothing the second time. RAMET_ENOMEM.
 */
int slots_map_bulk(struct slots *slots);
void slots_close(struct slots *slots); /* unmap; zeroed is fine */

/* slots_make_id - the id of a lease's call: unique in the cluster for as long as the daemon lives;
 * number from 1 on */
#define SLOTS_ID_MAX 33
void slots_make_id(uint32_t node, uint64_t lease, uint64_t number, char id[SLOTS_ID_MAX]);

/* ---- client ---- */

struct slots_client {
	struct slots slots;
	uint32_t tail; /* tickets given */
	uint32_t head; /* of the ring, as it was when it was looked at last */
	uint32_t generation[SLOTS_COUNT];
	uint32_t used; /* a bit for each slot that is not FREE */
	uint64_t dirty[SLOTS_COUNT], dirty_all; /* bytes of large payloads that may be in memory */
};

struct slots_request {
	const void *data;
	size_t len; /* ≤ SLOTS_PAYLOAD_MAX */
	bool binary;
	uint32_t rank, size;
	uint64_t deadline_ns; /* the node's clock; 0: none */
	uint32_t span_ms; /* of which it is the end */
	uint64_t number;
	bool goes_on; /* the client does not wait for it now, and may have more */
};

/* slots_submit - one call. An instance that sleeps on the memory is woken (a system call);
 * *ret_wake: it sleeps elsewhere, or (once) nobody comes to that slot: the eventfd, of the instance
 * or of the keeper, is to be written. RAMET_EAGAIN: all slots are taken;
 * RAMET_ECLOSED: the keeper wants the lease back; RAMET_ELIMIT, RAMET_ENOMEM (large ones only). */
int slots_submit(struct slots_client *c, const struct slots_request *request, unsigned *ret_slot,
	bool *ret_wake);
/* slots_claim, slots_publish - the same in two steps, for who knows the slot: it is ours, and its
 * input is to be written to *ret_input, which has request->len bytes (request->data is not used);
 * then it can be taken. slots_publish: as *ret_wake. slots_claim:
 * RAMET_EPROTO: it is not free, or too much; RAMET_ENOMEM. */
int slots_claim(struct slots_client *c, unsigned slot, const struct slots_request *request,
	void **ret_input);
bool slots_publish(struct slots_client *c, unsigned slot);
/* slots_ring_room - false: the instance has not passed what was withdrawn, or lies: slots_submit()
 * is RAMET_EAGAIN for as long as it wants */
bool slots_ring_room(const struct slots_client *c);
/* slots_done - its answer is there */
bool slots_done(const struct slots_client *c, unsigned slot);

struct slots_answer {
	int status; /* 0, or a RAMET_E…: data is an error map */
	const void *data; /* in the shared memory, until the slot is released; it may change */
	size_t len;
	bool binary;
	bool begun; /* false: it was never taken, and can be sent again */
	uint64_t run_ns;
	/* once: who gave it */
	uint64_t servant; /* all of it */
	uint32_t instance;
	int32_t pid;
	unsigned kind; /* as rametd has told it */
};
/* slots_answer - of a slot that is done. RAMET_EPROTO: the instance wrote what cannot be. */
int slots_answer(struct slots_client *c, unsigned slot, struct slots_answer *ret);
/* slots_release - done with its answer. Memory of large payloads stays for the next ones, up to a
 * bound; then it goes back (madvise). */
void slots_release(struct slots_client *c, unsigned slot);
/* slots_withdraw - a call that was not taken yet: the slot is free again; false: it runs, or is
 * done */
bool slots_withdraw(struct slots_client *c, unsigned slot);
/* slots_client_sleeps - before waiting for the client's eventfd; then look once more.
 * slots_client_wakes - after it */
void slots_client_sleeps(struct slots_client *c);
void slots_client_wakes(struct slots_client *c);
/* slots_client_dozes, slots_client_doze - a short sleep on the memory instead: after the first,
 * look once more, then sleep (a system call) until an answer comes, somebody calls
 * slots_rouse_client(), a signal comes or ns have passed; then slots_client_wakes() */
uint32_t slots_client_dozes(struct slots_client *c);
void slots_client_doze(const struct slots_client *c, uint32_t seen, uint64_t ns);
/* slots_watch - what to look at without this struct, until the call is done: the word is then
 * `done` */
struct slots_watch {
	const _Atomic uint32_t *word;
	uint32_t done;
};
void slots_watch(const struct slots_client *c, unsigned slot, struct slots_watch *ret);
bool slots_watch_done(const struct slots_watch *watch);
/* slots_broken - the instance has written what is no state of this call: there will be no answer */
bool slots_broken(const struct slots_client *c, unsigned slot);
/* slots_input - of a call that was not begun, to send it again another way; NULL: it is not there
 */
const void *slots_input(const struct slots_client *c, unsigned slot, size_t *ret_len);
/* slots_client_spins - whether looking again and again is worth it, instead of sleeping */
bool slots_client_spins(struct slots_client *c, struct spin *spin);
bool slots_closing(const struct slots_client *c);
uint32_t slots_generation(
	const struct slots_client *c, unsigned slot); /* of the call in it, for the keeper */

/* ---- instance ---- */

struct slots_instance {
	struct slots slots;
	uint32_t head;
	uint64_t servant; /* once: who it is, for its answers */
};

struct slots_call {
	unsigned slot;
	const void *data; /* in the shared memory until slots_finish(): it may change */
	size_t len;
	bool binary;
	uint32_t rank, size;
	uint64_t deadline_ns, number;
	uint32_t span_ms;
};

/* slots_take - the next call. 1: *ret is one; 0: there is none; RAMET_EPROTO: the client wrote what
 * cannot be; RAMET_ENOMEM */
int slots_take(struct slots_instance *s, struct slots_call *ret);
/* slots_take_own - once: the call of its own slot */
int slots_take_own(struct slots_instance *s, unsigned slot, struct slots_call *ret);
bool slots_waiting_own(const struct slots_instance *s, unsigned slot); /* it is there */
/* slots_wait_own - once: sleep until there may be one, a signal comes or ns have passed */
void slots_wait_own(struct slots_instance *s, unsigned slot, uint64_t ns);
/* slots_client_waits - for the call that it sent last, and sends no more before its answer */
bool slots_client_waits(const struct slots_instance *s);
void slots_set_servant(struct slots_instance *s, int32_t pid, unsigned kind, uint32_t instance);
/* slots_waiting - there may be one to take: to look at, again and again, instead of sleeping */
bool slots_waiting(const struct slots_instance *s);
/* slots_output - where an answer of len bytes goes, perhaps over the input; NULL: too large, or no
 * memory */
void *slots_output(struct slots_instance *s, const struct slots_call *call, size_t len);
struct slots_outcome {
	int status; /* 0 or a RAMET_E… */
	bool binary;
	bool not_begun; /* for who only passes calls on: they can be sent again */
	size_t len; /* of what was written to slots_output() */
	uint64_t run_ns;
};
/* slots_finish - the answer is written. A client that sleeps on the memory is woken (a system
 * call); true: it sleeps elsewhere, its eventfd is to be written. */
bool slots_finish(struct slots_instance *s, const struct slots_call *call,
	const struct slots_outcome *outcome);
bool slots_cancelled(const struct slots_instance *s, unsigned slot); /* async-signal-safe */
/* slots_instance_sleeps - before waiting for its eventfd; true: there is a call after all, and it
 * is awake */
bool slots_instance_sleeps(struct slots_instance *s);
void slots_instance_wakes(struct slots_instance *s);
/* slots_instance_dozes - a short sleep on the memory instead: until there may be a call, a signal
 * comes or ns have passed */
void slots_instance_dozes(struct slots_instance *s, uint64_t ns);
/* slots_instance_spins - whether looking again and again is worth it, instead of sleeping */
bool slots_instance_spins(struct slots_instance *s, struct spin *spin);

/* ---- keeper ---- */

void slots_set_closing(struct slots *slots);
/* slots_set_coming - once: whether this slot has an instance, or will have one. After it is false,
 * look whether a call waits there. */
void slots_set_coming(struct slots *slots, unsigned slot, bool coming);
/* slots_rouse_client - a client that sleeps on the memory looks again; also for another thread of
 * the client's (a system call) */
void slots_rouse_client(struct slots *slots);

/* What the slots hold, as far as they can be believed. */
struct slots_view {
	unsigned waiting, running; /* calls */
	unsigned unread; /* answers that the client has not released, and whatever no state is */
	uint32_t waits, runs; /* the same, a bit for each slot */
	uint64_t served, failed; /* calls so far, as the instance says */
	uint32_t submitted; /* changes with each call submitted */
};
void slots_look(const struct slots *slots, struct slots_view *ret);
/* What runs in a slot; deadline_ns 0: none */
struct slots_running {
	uint32_t generation, span_ms;
	uint64_t number, deadline_ns;
};
/* slots_look_at - false: nothing runs there */
bool slots_look_at(const struct slots *slots, unsigned slot, struct slots_running *ret);
/* slots_last - the call that the instance (once: that of this slot) took last; number 0: none. For
 * what it prints. */
uint64_t slots_last(const struct slots *slots, unsigned slot, uint32_t *ret_rank);
/* slots_cancel - the call of this generation is to end. RAMET_ENOTFOUND: it does not run. */
int slots_cancel(struct slots *slots, unsigned slot, uint32_t generation);
/* slots_halt - true: this call runs, and the instance begins no other after it, so it can be killed
 * for this one. false: it has ended, and nothing has changed. Where each call has an instance of
 * its own, there is nothing to halt. */
bool slots_halt(struct slots *slots, unsigned slot, uint32_t generation);
/* slots_expire - answers what waits and is late with RAMET_EDEADLINE and an error map of len bytes,
 * which fits a slot. Returns how many; then the client is to be woken. */
unsigned slots_expire(struct slots *slots, uint64_t now_ns, const void *error, size_t len);
/* slots_abandon - the instance is dead: what ran ends with status and error map, what waited is
 * given back as not begun. The client is to be woken. */
void slots_abandon(struct slots *slots, int status, const void *error, size_t len);
/* slots_abandon_one - once: the same of one slot; who died */
struct slots_dead {
	int32_t pid;
	unsigned kind;
	uint32_t instance;
};
void slots_abandon_one(struct slots *slots, unsigned slot, const struct slots_dead *who, int status,
	const void *error, size_t len);
#define SLOTS_ERROR_MAX 4000 /* bytes of such an error map */

#endif
