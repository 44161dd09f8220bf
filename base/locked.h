/* Memory for what is to be seen by as few as can be: not swapped where it can be locked, in no core
 * dump, and wiped when it is given back. Whole pages: for few and small things. */
#ifndef BASE_LOCKED_H
#define BASE_LOCKED_H

#include <stddef.h>
#include <string.h>
#include <sys/mman.h>

#define LOCKED_PAGE 4096u

static inline size_t locked_size(size_t len)
{
	return (len + LOCKED_PAGE) & ~(size_t)(LOCKED_PAGE - 1);
}

/* locked_alloc - len bytes, zeroed; NULL: no memory. Where the limit of locked memory is reached it
 * is ordinary memory. */
static inline void *locked_alloc(size_t len)
{
	void *p = mmap(
		NULL, locked_size(len), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return NULL;
	(void)mlock(p, locked_size(len));
	(void)madvise(p, locked_size(len), MADV_DONTDUMP);
	return p;
}

/* the same len; NULL is fine */
static inline void locked_free(void *p, size_t len)
{
	if (!p)
		return;
	explicit_bzero(p, locked_size(len));
	(void)munmap(p, locked_size(len));
}

#endif
