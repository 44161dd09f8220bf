/* The stub's life: move to anonymous memory, say that it is ready, build once, then clone until the
 * socket closes. */
#include "rfork/stub/stub.h"

#include <linux/mman.h>
#include <signal.h>
#include <stddef.h>
#include <sys/mman.h>

void stub_main(void) __attribute__((noreturn));

/* The kernel refuses to change a process's executable while that is mapped: replace our own pages,
 * in place, by anonymous ones with the same bytes. */
static void leave_file(void)
{
	char *start = (char *)RFORK_GAP_START;
	unsigned long len = (unsigned long)(stub_end - start);
	long copy = sys6(__NR_mmap, 0, (long)len, PROT_READ | PROT_WRITE | PROT_EXEC,
		MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (copy < 0 && copy > -4096)
		stub_exit(2);
	void *memcpy(void *restrict, const void *restrict, size_t);
	memcpy((void *)copy, start, len);
	long moved = sys5(__NR_mremap, copy, len, len, MREMAP_MAYMOVE | MREMAP_FIXED, start);
	if (moved != (long)start)
		stub_exit(2);
	/* nothing in a clone is both written and executed */
	if (sys3(__NR_mprotect, start, stub_handover - start, PROT_READ | PROT_EXEC) < 0 ||
		sys3(__NR_mprotect, stub_handover, stub_end - stub_handover,
			PROT_READ | PROT_WRITE) < 0 ||
		sys3(__NR_madvise, stub_own, stub_end - stub_own, MADV_DONTFORK) < 0)
		stub_exit(2);
}

void stub_main(void)
{
	static struct stub_seed seed = {.prepared = -1};
	static struct stub_message msg;
	uint64_t all = ~0ull;

	sys4(__NR_rt_sigprocmask, SIG_SETMASK, &all, 0, 8);
	leave_file();
	struct stub_reply ready = {.op = STUB_READY};
	stub_answer(&ready, -1);
	for (;;) {
		stub_receive(&msg);
		struct stub_reply reply = {.step = STUB_STEP_PROTOCOL};
		int uffd = -1;
		if (msg.op == STUB_BUILD && !seed.built && msg.len == sizeof(struct stub_build)) {
			reply.op = STUB_BUILT;
			reply.error = stub_build(&msg, &seed, &uffd, &reply);
			stub_answer(&reply, uffd);
			if (uffd >= 0)
				sys1(__NR_close, uffd);
		} else if (msg.op == STUB_CLONE && seed.built &&
			msg.len >= (long)offsetof(struct stub_clone, populate)) {
			reply.op = STUB_CLONED;
			int pid = stub_clone(&msg, &seed, &reply);
			reply.pid = pid > 0 ? pid : 0;
			reply.error = pid > 0 ? 0 : pid;
			stub_answer(&reply, -1);
			stub_clone_done(&msg, &seed);
		} else {
			reply.error = -71; /* EPROTO */
			stub_answer(&reply, -1);
		}
	}
}
