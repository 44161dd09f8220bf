/* The template stub: a freestanding program that becomes a seed and then makes clones of itself on
 * request. No libc, no thread-local storage, no stack protector; it never touches the seed's memory
 * after mapping it. */
#ifndef RFORK_STUB_STUB_H
#define RFORK_STUB_STUB_H

#include "rfork/arch/syscall.h"
#include "rfork/descriptor.h"
#include "rfork/stub_proto.h"

#define STUB_MAX_FILES 4096

/* The template's memory, in order: code and constants; the handover page; data, stack and buffers,
 * which clones do not get, so that the template can go on without copying them after each. */
extern char stub_handover[], stub_own[], stub_end[];

/* What the stub knows of its seed after a build. */
struct stub_seed {
	const struct descriptor_header *header; /* mapped read-only in the gap */
	int built;
	int directory; /* 0: the template is in the captured directory; or why not */
	int rules; /* STUB_RULES_FD is there */
	int prepared; /* a sandbox that the stub has joined for its next child; -1: none */
};

struct stub_message {
	union {
		uint32_t op;
		struct stub_build build;
		struct stub_files files;
		struct stub_clone clone;
	};
	long len;
	int fds[STUB_FILES_PER_MSG];
	unsigned nfds;
};

/* stub_io.c */
void stub_receive(struct stub_message *msg); /* exits when ramet-spawn is gone */
void stub_answer(const struct stub_reply *reply, int fd); /* fd -1: none */
void stub_exit(int status) __attribute__((noreturn));

/* stub_build.c - negative errno, with reply->step and ->arg saying at what */
int stub_build(const struct stub_message *msg, struct stub_seed *seed, int *ret_uffd,
	struct stub_reply *reply);
/* stub_clone.c - the pid, or negative errno */
int stub_clone(const struct stub_message *msg, struct stub_seed *seed, struct stub_reply *reply);
/* into the captured directory, of the mounts that the template is in; negative errno */
int stub_enter_directory(const struct descriptor_header *h);
/* after the answer: what the child got is closed, what comes next is prepared */
void stub_clone_done(const struct stub_message *msg, struct stub_seed *seed);
/* stub_uffd.c */
int stub_uffd(
	const struct descriptor_header *h, uint32_t flags, int *ret_uffd, struct stub_reply *reply);

/* arch: stub_entry.S */
long stub_fork(unsigned long flags, void *stack, void *tid_address, void (*fn)(void *), void *arg);
void stub_resume(const struct arch_context *ctx, const uint64_t *sigmask) __attribute__((noreturn));

static inline const void *stub_section(
	const struct descriptor_header *h, const struct descriptor_section *s)
{
	return (const char *)h + s->offset;
}

#endif
