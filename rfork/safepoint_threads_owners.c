/* Looking for held locks in the shadow's own memory: what is compared is the layout of glibc's
 * locks, five or seven fields of which one is the id of a thread that exists. */
#include "rfork/safepoint_threads_owners.h"

#include "rfork/descriptor.h"
#include "rfork/pagemap.h"
#include "rfork/safepoint_fault.h"
#include "rfork/safepoint_text.h"
#include "rfork/safepoint_threads.h"
#include "rfork/safepoint_threads_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define OWNERS_MAX 256
#define REGIONS 128
#define ENTRIES 512
#define SPARSE \
	(4ull << 30) /* larger mappings are passed over where the kernel cannot skip holes \
		      */
#define LINE_BYTES 512
#define NESTED_MAX 1000000 /* how often a recursive mutex may be held */

/* glibc's pthread_mutex_t and pthread_rwlock_t, as far as we look */
struct mutex {
	uint32_t lock, count;
	int32_t owner;
	uint32_t nusers, kind;
};
struct rwlock {
	uint32_t readers, writers, phase, writers_futex, zero[2];
	int32_t writer;
	uint32_t shared;
};
#define KIND_TYPE 3u
#define KIND_ROBUST 16u /* these the kernel has a list of */
#define KIND_INHERIT 32u /* the kernel reads the owner's id in `lock` */
#define KIND_KNOWN (KIND_TYPE | KIND_INHERIT | 128u | 256u | 512u)
#define READERS_WRITING 3u /* in a write phase, and locked */

enum owner_kind { OWNER_MUTEX, OWNER_INHERITED, OWNER_RWLOCK };

static struct {
	struct {
		uint64_t at;
		pid_t owner;
		uint32_t kind; /* enum owner_kind */
	} items[OWNERS_MAX];
	unsigned count;
	bool full;
} owners;

/* of the shadow alone */
static struct {
	pid_t self, least, most;
} ids;

static bool is_thread(pid_t id)
{
	if (id < ids.least || id > ids.most)
		return false;
	if (id == ids.self)
		return true;
	for (const struct safepoint_thread *t = safepoint_parked(); t; t = t->next)
		if (t->tid == id)
			return true;
	return false;
}

static bool is_mutex(const struct mutex *m, enum owner_kind *ret_kind)
{
	const uint32_t type = m->kind & KIND_TYPE;
	if (m->nusers != 1 || m->kind & ~KIND_KNOWN || m->count > NESTED_MAX)
		return false;
	*ret_kind = m->kind & KIND_INHERIT ? OWNER_INHERITED : OWNER_MUTEX;
	if (m->kind & KIND_INHERIT)
		return (m->lock & FUTEX_TID_MASK) == (uint32_t)m->owner;
	return (m->lock == 1 || m->lock == 2) &&
		(type == PTHREAD_MUTEX_ERRORCHECK ||
			(type == PTHREAD_MUTEX_RECURSIVE && m->count > 0));
}

static bool is_rwlock(const struct rwlock *l)
{
	return (l->readers & READERS_WRITING) == READERS_WRITING &&
		(l->phase == 1 || l->phase == 3) && l->zero[0] == 0 && l->zero[1] == 0 &&
		l->shared <= 1;
}

static void note(const void *lock, pid_t owner, enum owner_kind kind)
{
	if (owners.count == OWNERS_MAX) {
		owners.full = true;
		return;
	}
	owners.items[owners.count].at = (uint64_t)(uintptr_t)lock;
	owners.items[owners.count].owner = owner;
	owners.items[owners.count++].kind = kind;
}

/* an id of ours stands at `at`: is there a lock around it? */
static void look_around(
	const unsigned char *at, const unsigned char *start, const unsigned char *end)
{
	const size_t in_mutex = offsetof(struct mutex, owner);
	const size_t in_rwlock = offsetof(struct rwlock, writer);
	enum owner_kind kind;
	if ((size_t)(at - start) >= in_mutex &&
		(size_t)(end - at) >= sizeof(struct mutex) - in_mutex) {
		const struct mutex *m = (const void *)(at - in_mutex);
		if (is_mutex(m, &kind))
			note(m, m->owner, kind);
	}
	if ((size_t)(at - start) >= in_rwlock &&
		(size_t)(end - at) >= sizeof(struct rwlock) - in_rwlock) {
		const struct rwlock *l = (const void *)(at - in_rwlock);
		if (is_rwlock(l))
			note(l, l->writer, OWNER_RWLOCK);
	}
}

static void look_through(uint64_t from, uint64_t to)
{
	const unsigned char *start = (const void *)(uintptr_t)from;
	const unsigned char *end = (const void *)(uintptr_t)to;
	for (const unsigned char *at = start; at < end; at += 8)
		if (is_thread(*(const int32_t *)(const void *)at))
			look_around(at, start, end);
}

/* before Linux 6.7 */
static void look_by_entries(int pagemap, uint64_t start, uint64_t end)
{
	static uint64_t entries[ENTRIES];
	uint64_t from = start; /* of what is own and not yet looked through, up to `at` */
	for (uint64_t at = start; end - start <= SPARSE && at < end;) {
		uint64_t want = (end - at) / RFORK_PAGE;
		want = want < ENTRIES ? want : ENTRIES;
		ssize_t n = pread(pagemap, entries, want * 8, (off_t)(at / RFORK_PAGE * 8));
		if (n < 8)
			return;
		for (ssize_t i = 0; i < n / 8; i++, at += RFORK_PAGE) {
			if (pagemap_own(entries[i]))
				continue;
			look_through(from, at);
			from = at + RFORK_PAGE;
		}
		if (at >= end)
			look_through(from, end);
	}
}

static void look_in_mapping(int pagemap, uint64_t start, uint64_t end)
{
	static struct pagemap_region regions[REGIONS];
	struct pagemap_scan scan = pagemap_scan_own(start, end, regions, REGIONS);
	while (scan.start < end) {
		int n = ioctl(pagemap, PAGEMAP_SCAN_IOCTL, &scan);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && scan.start == start)
			look_by_entries(pagemap, start, end);
		if (n < 0)
			return;
		for (int i = 0; i < n; i++)
			look_through(regions[i].start, regions[i].end);
		scan.start = scan.walk_end;
	}
}

bool owners_find(pid_t self)
{
	static struct text maps;
	static char line[LINE_BYTES];
	ids.self = ids.least = ids.most = self;
	for (const struct safepoint_thread *t = safepoint_parked(); t; t = t->next) {
		ids.least = t->tid < ids.least ? t->tid : ids.least;
		ids.most = t->tid > ids.most ? t->tid : ids.most;
	}
	owners.count = 0;
	owners.full = false;
	int pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	if (pagemap < 0 || !text_open(&maps, "/proc/self/maps")) {
		if (pagemap >= 0)
			close(pagemap);
		return false;
	}
	while (text_line(&maps, line, sizeof(line))) {
		char *at;
		uint64_t start = strtoull(line, &at, 16);
		uint64_t end = *at == '-' ? strtoull(at + 1, &at, 16) : 0;
		if (strncmp(at, " rw", 3) == 0 && at[4] == 'p')
			look_in_mapping(pagemap, start, end);
	}
	text_close(&maps);
	close(pagemap);
	return owners.count > 0;
}

bool owners_renumber(pid_t from, pid_t to)
{
	if (safepoint_fault_hit("threads.owners"))
		return true;
	for (unsigned i = 0; i < owners.count; i++) {
		pid_t owner = owners.items[i].owner;
		pid_t now = owner == from ? to : safepoint_threads_id(owner);
		void *at = (void *)(uintptr_t)owners.items[i].at;
		struct mutex *m = at;
		struct rwlock *l = at;
		if (now == 0 || now == owner)
			continue;
		if (owners.items[i].kind == OWNER_RWLOCK && l->writer == owner)
			l->writer = now;
		if (owners.items[i].kind == OWNER_RWLOCK || m->owner != owner)
			continue;
		m->owner = now;
		if (owners.items[i].kind == OWNER_INHERITED)
			m->lock = (m->lock & ~FUTEX_TID_MASK) | (uint32_t)now;
	}
	return !owners.full;
}
