/* Robust mutexes, which the kernel has a list of for each thread; and the dynamic linker's, which
 * are recursive: unlocked by a thread that is not their owner they stay locked for ever. */
#include "rfork/safepoint_threads_locks.h"

#include "rfork/safepoint_fault.h"
#include "rfork/safepoint_threads.h"

#include <dlfcn.h>
#include <link.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#define ROBUST_MAX 2048 /* the kernel's own limit */
/* glibc's pthread_mutex_t: the list's link, the futex 32 bytes before, the owner 8 behind that */
#define GLIBC_FUTEX_OFFSET (-32)
#define GLIBC_OWNER_OFFSET 8
#define GLIBC_KIND_MASK 3 /* of a mutex's type */

/* --- robust mutexes --- */

struct robust_head {
	uint64_t first;
	int64_t futex_offset;
	uint64_t pending;
};

static void renumber_mutex(uint64_t link, int64_t offset, uint32_t old_tid, uint32_t new_tid)
{
	uint64_t at = (link & ~1ull) + (uint64_t)offset;
	_Atomic uint32_t *word = (_Atomic uint32_t *)(uintptr_t)at;
	uint32_t value = atomic_load(word);
	if ((value & FUTEX_TID_MASK) != old_tid || safepoint_fault_hit("threads.robust"))
		return;
	atomic_store(word, (value & ~FUTEX_TID_MASK) | new_tid);
	uint32_t *owner = (uint32_t *)(uintptr_t)(at + GLIBC_OWNER_OFFSET);
	if (offset == GLIBC_FUTEX_OFFSET && *owner == old_tid)
		*owner = new_tid;
}

void locks_renumber_robust(uint64_t list, pid_t old_tid, pid_t new_tid)
{
	const struct robust_head *head = (const void *)(uintptr_t)list;
	if (!head || old_tid == new_tid)
		return;
	uint64_t link = head->first;
	for (unsigned n = 0; link && (link & ~1ull) != list && n < ROBUST_MAX; n++) {
		renumber_mutex(link, head->futex_offset, (uint32_t)old_tid, (uint32_t)new_tid);
		link = *(const uint64_t *)(uintptr_t)(link & ~1ull);
	}
	if (head->pending)
		renumber_mutex(
			head->pending, head->futex_offset, (uint32_t)old_tid, (uint32_t)new_tid);
}

/* --- the dynamic linker's --- */

/* as glibc has it, up to where we look */
struct glibc_mutex {
	int lock;
	unsigned count;
	int owner;
	unsigned nusers;
	int kind;
};

static struct {
	char *begin;
	uint64_t len;
} loader;

void locks_begin(void)
{
	Dl_info info;
	const ElfW(Sym) *symbol = NULL;
	char *globals = dlsym(RTLD_DEFAULT, "_rtld_global");
	if (!globals || !dladdr1(globals, &info, (void **)&symbol, RTLD_DL_SYMENT) || !symbol)
		return;
	loader.begin = globals;
	loader.len = symbol->st_size;
}

void locks_renumber_loader(void)
{
	if (safepoint_fault_hit("threads.loader"))
		return;
	for (uint64_t at = 0; at + sizeof(pthread_mutex_t) <= loader.len; at += 8) {
		struct glibc_mutex *m = (void *)(loader.begin + at);
		if ((m->lock != 1 && m->lock != 2) || m->count == 0 || m->nusers != 1 ||
			(m->kind & GLIBC_KIND_MASK) != PTHREAD_MUTEX_RECURSIVE || m->owner <= 0)
			continue;
		pid_t now = safepoint_threads_id(m->owner);
		if (now)
			m->owner = now;
	}
}
