/* What the files channel_slots*.c share: calls through the memory of leases. A function's first
 * call goes through the socket, where rametd makes instances; with the second a lease is asked for.
 * With leases, a call takes the one with the fewest under way, behind others only where they are
 * quick; what finds no place goes through the socket, where it gets an instance of its own, which
 * is leased next. All with the handle's lock held, unless said. */
#ifndef LIBRAMET_CHANNEL_SLOTS_H
#define LIBRAMET_CHANNEL_SLOTS_H

#include "base/quick_clock.h"
#include "libramet/channel.h"
#include "libramet/lease.h"
#include "runtime/slots/spin.h"

#define BUCKETS 64
#define WATCHES 32
#define BEHIND_NS (10 * NSEC_PER_MSEC) /* that a call which was sent ahead may wait */

struct function {
	struct list link;
	struct channel_slots *channel;
	char name[CLIENT_NAME_MAX + 1];
	uint32_t node; /* where its calls must run; 0: anywhere */
	uint32_t near; /* where one of them did */
	struct list leases;
	unsigned nleases; /* with the one that is asked for */
	bool asking;
	struct list held; /* calls that wait for the lease that is asked for */
	uint64_t calls;
	unsigned by_socket; /* under way there */
	uint64_t mean_ns; /* of what a call takes, running; 0: not known yet */
	uint64_t ask_ns, pause_ns; /* not before; after the next refusal */
};

struct channel_slots {
	struct channel base;
	struct conn *conn;
	struct channel *socket;
	struct list functions[BUCKETS];
	struct function *last; /* that was called; or NULL */
	struct list over; /* leases to be freed */
	struct list leases; /* that are ready */
	int fd; /* eventfd: an instance wakes us */
	int epoll_fds[2]; /* the handle's, which wait for streams, too */
	bool armed; /* it is polled by others, at any time */
	bool asleep; /* between sleeps() and wakes() */
	bool looking; /* without the lock: memory that is looked at must stay */
	struct lease *doze_on; /* the one of which an answer is slept for */
	uint32_t doze_seen;
	unsigned under_way;
	struct quick_clock clock; /* of calls */
	struct spin spin;
	struct slots_watch watches[WATCHES];
	unsigned nwatches;
	uint64_t number;
};

static inline struct channel_slots *slots_of(struct channel *channel)
{
	return container_of(channel, struct channel_slots, base);
}

/* channel_slots_place.c */
int place_submit(struct channel *channel, const struct channel_request *request,
	struct channel_call *call, struct ramet_err *err);
bool place_room(const struct channel *channel, const struct channel_request *request);
void place_drop_copy(struct channel_call *call);
/* place_by_socket - what goes through no slots */
int place_by_socket(struct channel_slots *s, const struct channel_request *request,
	struct channel_call *call, struct ramet_err *err);
void place_leave_socket(struct channel_call *call); /* its owner has forgotten it */

/* channel_slots_answer.c */
void answer_all(struct lease *lease); /* take what is done out of its slots */
void answer_learn(struct function *f, uint64_t run_ns); /* what a call of it takes */
/* answer_is_behind - a call that is sent ahead, and goes no other way (RAMET_CALL_BEHIND) */
bool answer_is_behind(const struct channel_call *call);
/* answer_give_back - those of them that have waited for too long, and have not begun, end with
 * RAMET_EAGAIN */
void answer_give_back(struct channel_slots *s);
/* answer_lose_all - no answer comes any more; err NULL: the lease ended without one */
void answer_lose_all(struct lease *lease, const struct ramet_err *err);

#endif
