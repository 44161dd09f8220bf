/* Sleeping on a word of a lease's memory, and waking who does. Header only, since client, instance
 * and keeper are linked from different libraries. */
#ifndef RUNTIME_SLOTS_SLEEP_H
#define RUNTIME_SLOTS_SLEEP_H

#include "runtime/slots/layout.h"

#include <linux/futex.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define SLEEP_NSEC 1000000000u

/* sleep_begin - until the word is no longer `seen` and somebody says so, a signal comes, or ns have
 * passed; which of them, its callers see for themselves */
static inline void sleep_begin(const _Atomic uint32_t *word, uint32_t seen, uint64_t ns)
{
	const struct timespec timeout = {(time_t)(ns / SLEEP_NSEC), (long)(ns % SLEEP_NSEC)};
	(void)syscall(SYS_futex, word, FUTEX_WAIT, seen, &timeout, NULL, 0);
}

/* sleep_end - wakes one who sleeps on it. It never blocks. Where others sleep there, too, and are
 * woken in its place, the sleep ends by its time. */
static inline void sleep_end(const _Atomic uint32_t *word)
{
	(void)syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0);
}

/* sleep_change - the same of a word that is there for that alone */
static inline void sleep_change(_Atomic uint32_t *word)
{
	atomic_fetch_add(word, 1);
	sleep_end(word);
}

/* sleep_take_down - true: the other side sleeps on a word, and nobody else wakes it */
static inline bool sleep_take_down(_Atomic uint32_t *flag)
{
	uint32_t how = SLOTS_ON_WORD;
	return atomic_load(flag) == SLOTS_ON_WORD &&
		atomic_compare_exchange_strong(flag, &how, SLOTS_AWAKE);
}

#endif
