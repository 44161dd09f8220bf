/* The memory of an account: chunks of anonymous memory, apart from the host's allocator, whose
 * locks a stopped thread may hold. */
#include "rfork/safepoint_account.h"

#include <sys/mman.h>

#define CHUNK 65536u
#define PAGE 4096u

struct chunk { /* at the start of each */
	struct chunk *next;
	size_t len, used;
};

static struct chunk *chunks;

static struct chunk *chunk_new(size_t len)
{
	struct chunk *c =
		mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (c == MAP_FAILED)
		return NULL;
	*c = (struct chunk){chunks, len, (sizeof(*c) + 15) / 16 * 16};
	chunks = c;
	return c;
}

void *account_alloc(size_t len)
{
	len = (len + 15) / 16 * 16;
	struct chunk *c = chunks;
	if (!c || c->len - c->used < len) {
		size_t room = len + 64 > CHUNK ? (len + 64 + PAGE - 1) / PAGE * PAGE : CHUNK;
		c = chunk_new(room);
		if (!c)
			return NULL;
	}
	void *at = (char *)c + c->used;
	c->used += len;
	return at;
}

/* whole pages behind the page of the chunk's own record */
void *account_pages(size_t len)
{
	len = (len + PAGE - 1) / PAGE * PAGE;
	struct chunk *c = chunk_new(len + PAGE);
	if (!c)
		return NULL;
	c->used = c->len;
	return (char *)c + PAGE;
}

void account_drop(void)
{
	for (struct chunk *c = chunks; c;) {
		struct chunk *next = c->next;
		munmap(c, c->len);
		c = next;
	}
	chunks = NULL;
}
