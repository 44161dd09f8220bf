/* Becoming a seed: the address space, the memory layout the kernel keeps, clocks, signals, segment
 * bases, filter. */
#include "rfork/stub/stub.h"

#include "rfork/landlock.h"

#include <asm/prctl.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/mman.h>
#include <linux/prctl.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/mman.h>

#ifndef ARCH_MAP_VDSO_64
#define ARCH_MAP_VDSO_64 0x2003
#endif
#define DESCRIPTOR_AT (RFORK_GAP_START + 0x400000)
#define MAX_FILTER 4096

void *memcpy(void *restrict dst, const void *restrict src, size_t n);

static int file_fds[STUB_MAX_FILES];

static int failed(struct stub_reply *reply, uint32_t step, uint64_t arg, long error)
{
	reply->step = step;
	reply->arg = arg;
	return (int)error;
}

static int take_files(uint32_t count, struct stub_reply *reply)
{
	static struct stub_message msg;
	uint32_t have = 0;
	if (count > STUB_MAX_FILES)
		return failed(reply, STUB_STEP_FILES, count, -E2BIG);
	while (have < count) {
		stub_receive(&msg);
		if (msg.op != STUB_FILES || msg.nfds == 0 || msg.nfds > count - have)
			return failed(reply, STUB_STEP_FILES, have, -EPROTO);
		memcpy(&file_fds[have], msg.fds, msg.nfds * sizeof(int));
		have += msg.nfds;
	}
	return 0;
}

/* how many pieces from this one on become one mapping of the base's image: few own pages between
 * its pages are written over those. What clones inherit so costs them 50 ns a page, a mapping of
 * its own 1 µs, and two more of what it parts. */
static uint32_t count_together(const struct seed_piece *pieces, uint32_t count)
{
	const struct seed_piece *first = pieces;
	uint64_t len = first->pages * RFORK_PAGE;
	uint32_t n = 1;
	if (first->kind != PIECE_IMAGE || !(first->flags & PIECE_BASE))
		return 1;
	while (n + 1 < count) {
		const struct seed_piece *own = &pieces[n], *next = &pieces[n + 1];
		uint64_t after = len + own->pages * RFORK_PAGE;
		if (own->kind != PIECE_IMAGE || own->pages > STUB_OVERWRITE_PAGES ||
			own->start != first->start + len || own->prot != first->prot ||
			(own->flags | PIECE_BASE) != first->flags || next->kind != PIECE_IMAGE ||
			next->start != first->start + after || next->prot != first->prot ||
			next->flags != first->flags || next->offset != first->offset + after)
			break;
		len = after + next->pages * RFORK_PAGE;
		n += 2;
	}
	return n;
}

/* own pages over those of the base that are mapped there */
static long overwrite(const struct seed_piece *own, int image_fd)
{
	uint64_t len = own->pages * RFORK_PAGE;
	long n = sys4(__NR_pread64, image_fd, own->start, len, own->offset);
	return n == (long)len ? 0 : n < 0 ? n : -EIO;
}

static long map_together(const struct seed_piece *pieces, uint32_t count, int image_fd, int base_fd)
{
	const struct seed_piece *first = pieces, *last = &pieces[count - 1];
	long len = (long)(last->start + last->pages * RFORK_PAGE - first->start);
	long rc = sys6(__NR_mmap, (long)first->start, len, first->prot | PROT_WRITE,
		MAP_FIXED_NOREPLACE | MAP_NORESERVE | MAP_PRIVATE, base_fd, (long)first->offset);
	if (rc != (long)first->start)
		return rc < 0 ? rc : -EEXIST;
	rc = 0;
	for (uint32_t i = 1; i < count && rc == 0; i += 2)
		rc = overwrite(&pieces[i], image_fd);
	if (rc == 0 && !(first->prot & PROT_WRITE))
		rc = sys3(__NR_mprotect, first->start, len, first->prot);
	return rc;
}

static int piece_fd(const struct seed_piece *p, int image_fd, int base_fd)
{
	switch (p->kind) {
	case PIECE_IMAGE:
		return p->flags & PIECE_BASE ? base_fd : image_fd;
	case PIECE_FILE:
		return file_fds[p->file];
	default:
		return -1;
	}
}

static long map_piece(const struct seed_piece *p, int fd)
{
	long len = (long)(p->pages * RFORK_PAGE), rc;
	int flags = MAP_FIXED_NOREPLACE | MAP_NORESERVE |
		(p->flags & PIECE_SHARED ? MAP_SHARED : MAP_PRIVATE);
	if (p->kind == PIECE_ANON)
		flags |= MAP_ANONYMOUS;
	rc = sys6(
		__NR_mmap, (long)p->start, len, p->prot, flags, fd, (long)(fd < 0 ? 0 : p->offset));
	if (rc != (long)p->start)
		return rc < 0 ? rc : -EEXIST;
	if (p->flags & PIECE_HUGEPAGE)
		sys3(__NR_madvise, p->start, len, MADV_HUGEPAGE);
	return p->flags & PIECE_WIPE ? sys3(__NR_madvise, p->start, len, MADV_WIPEONFORK) : 0;
}

/* complete: every page is in the images, and nobody looks at what clones touch */
static int map_pieces(const struct descriptor_header *h, int image_fd, int base_fd, bool complete,
	struct stub_reply *reply)
{
	const struct seed_piece *pieces = stub_section(h, &h->pieces);
	for (uint32_t i = 0, n; i < h->pieces.count; i += n) {
		const struct seed_piece *p = &pieces[i];
		long rc;
		n = complete ? count_together(p, h->pieces.count - i) : 1;
		if (p->kind == PIECE_VDSO) {
			rc = sys2(__NR_arch_prctl, ARCH_MAP_VDSO_64, p->start);
			if (rc < 0)
				return failed(reply, STUB_STEP_VDSO, p->start, rc);
			continue;
		}
		rc = n > 1 ? map_together(p, n, image_fd, base_fd)
			   : map_piece(p, piece_fd(p, image_fd, base_fd));
		if (rc < 0)
			return failed(reply, STUB_STEP_MAP_PIECE, i, rc);
	}
	return 0;
}

static int set_mm(const struct descriptor_header *h, struct stub_reply *reply)
{
	const struct seed_file *files = stub_section(h, &h->files);
	static uint64_t auxv[128];
	memcpy(auxv, stub_section(h, &h->auxv), h->auxv.count * 16ul);
	struct prctl_mm_map map = {.start_code = h->mm.start_code,
		.end_code = h->mm.end_code,
		.start_data = h->mm.start_data,
		.end_data = h->mm.end_data,
		.start_brk = h->mm.start_brk,
		.brk = h->mm.brk,
		.start_stack = h->mm.start_stack,
		.arg_start = h->mm.arg_start,
		.arg_end = h->mm.arg_end,
		.env_start = h->mm.env_start,
		.env_end = h->mm.env_end,
		.auxv = (void *)auxv,
		.auxv_size = h->auxv.count * 16,
		.exe_fd = (uint32_t)-1};
	for (uint32_t i = 0; i < h->files.count; i++)
		if (files[i].flags & SEED_FILE_EXE)
			map.exe_fd = (uint32_t)file_fds[i];
	long rc = sys5(__NR_prctl, PR_SET_MM, PR_SET_MM_MAP, &map, sizeof(map), 0);
	if (rc == -EPERM) { /* without a user namespace /proc/self/exe stays the stub */
		map.exe_fd = (uint32_t)-1;
		rc = sys5(__NR_prctl, PR_SET_MM, PR_SET_MM_MAP, &map, sizeof(map), 0);
	}
	return rc < 0 ? failed(reply, STUB_STEP_MM, 0, rc) : 0;
}

static unsigned put_number(char *at, int64_t value)
{
	char digits[24];
	unsigned n = 0, len = 0;
	uint64_t v = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
	if (value < 0)
		at[len++] = '-';
	do
		digits[n++] = (char)('0' + v % 10);
	while (v /= 10);
	while (n)
		at[len++] = digits[--n];
	return len;
}

static unsigned put_offset(char *at, char clock, int64_t ns)
{
	int64_t sec = ns / 1000000000, rest = ns % 1000000000;
	if (rest < 0) {
		rest += 1000000000;
		sec--;
	}
	unsigned len = 0;
	at[len++] = clock;
	at[len++] = ' ';
	len += put_number(at + len, sec);
	at[len++] = ' ';
	len += put_number(at + len, rest);
	at[len++] = '\n';
	return len;
}

/* Children continue the parent's clocks. The file takes clock ids: 1 monotonic, 7 boottime. */
static int set_clocks(const struct stub_build *b, struct stub_reply *reply)
{
	if (b->mono_offset_ns == 0 && b->boot_offset_ns == 0)
		return 0;
	char text[128];
	unsigned len = put_offset(text, '1', b->mono_offset_ns);
	len += put_offset(text + len, '7', b->boot_offset_ns);
	long rc = sys1(__NR_unshare, CLONE_NEWTIME);
	if (rc < 0)
		return failed(reply, STUB_STEP_TIMENS, 0, rc);
	long fd = sys4(__NR_openat, -100, "/proc/self/timens_offsets", 1 /* O_WRONLY */, 0);
	if (fd < 0)
		return failed(reply, STUB_STEP_TIMENS, 1, fd);
	rc = sys3(__NR_write, fd, text, len);
	sys1(__NR_close, fd);
	return rc == (long)len ? 0 : failed(reply, STUB_STEP_TIMENS, 2, rc < 0 ? rc : -EIO);
}

/* What clones inherit from the template, so that each need not set it: signal actions, alternate
 * stack, umask, name. */
static int set_process(const struct descriptor_header *h, struct stub_reply *reply)
{
	const struct seed_process *p = &h->process;
	for (int sig = 1; sig <= 64; sig++) {
		const struct seed_sigaction *sa = &p->sigactions[sig - 1];
		if (sig == 9 || sig == 19 || (sa->handler == 0 && sa->flags == 0))
			continue;
		long rc = sys4(__NR_rt_sigaction, sig, sa, 0, 8);
		if (rc < 0)
			return failed(reply, STUB_STEP_SIGNALS, (uint64_t)sig, rc);
	}
	struct {
		uint64_t sp;
		uint32_t flags, pad;
		uint64_t size;
	} altstack = {p->altstack_sp, p->altstack_flags & ~1u, 0, p->altstack_size};
	if (p->altstack_size && sys2(__NR_sigaltstack, &altstack, 0) < 0)
		return failed(reply, STUB_STEP_SIGNALS, 0, -EINVAL);
	sys1(__NR_umask, p->umask);
	sys2(__NR_prctl, PR_SET_NAME, p->comm);
	long rc = sys2(__NR_arch_prctl, ARCH_SET_FS, p->context.fs_base);
	if (rc == 0)
		rc = sys2(__NR_arch_prctl, ARCH_SET_GS, p->context.gs_base);
	return rc < 0 ? failed(reply, STUB_STEP_THREAD, 0, rc) : 0;
}

static int load_filter(int fd, uint32_t len, struct stub_reply *reply)
{
	static struct sock_filter filter[MAX_FILTER];
	if (len == 0 || len > MAX_FILTER ||
		sys4(__NR_pread64, fd, filter, len * sizeof(filter[0]), 0) !=
			(long)(len * sizeof(filter[0])))
		return failed(reply, STUB_STEP_SECCOMP, len, -EINVAL);
	struct sock_fprog program = {.len = (unsigned short)len, .filter = filter};
	long rc = sys3(__NR_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program);
	return rc < 0 ? failed(reply, STUB_STEP_SECCOMP, 0, rc) : 0;
}

/* A kernel without Landlock has no version of it. */
static int make_rules(struct stub_seed *seed, struct stub_reply *reply)
{
	struct landlock_attr attr;
	long version = sys3(LANDLOCK_NR_CREATE, 0, 0, LANDLOCK_ASK_VERSION);
	if (version < 1)
		return 0;
	size_t len = landlock_attr(version, 0, &attr);
	long rules = sys3(LANDLOCK_NR_CREATE, &attr, len, 0);
	if (rules < 0)
		return failed(reply, STUB_STEP_LANDLOCK, (uint64_t)version, rules);
	sys3(__NR_dup3, rules, STUB_RULES_FD, 02000000 /* O_CLOEXEC */);
	sys1(__NR_close, rules);
	seed->rules = 1;
	return 0;
}

int stub_build(const struct stub_message *msg, struct stub_seed *seed, int *ret_uffd,
	struct stub_reply *reply)
{
	struct stub_build b = msg->build;
	const unsigned images = 2 + !!(b.flags & STUB_BASE);
	unsigned want = images + !!(b.flags & STUB_SECCOMP) + !!(b.flags & STUB_JOIN);
	if (msg->nfds != want)
		return failed(reply, STUB_STEP_PROTOCOL, msg->nfds, -EPROTO);
	int desc_fd = msg->fds[0], image_fd = msg->fds[1];
	int base_fd = b.flags & STUB_BASE ? msg->fds[2] : -1;
	int filter_fd = b.flags & STUB_SECCOMP ? msg->fds[images] : -1;
	int join_fd = b.flags & STUB_JOIN ? msg->fds[want - 1] : -1;

	int rc = take_files(b.nfiles, reply);
	if (rc < 0)
		return rc;
	if (b.desc_len > DESCRIPTOR_MAX_BYTES || b.desc_len < sizeof(struct descriptor_header))
		return failed(reply, STUB_STEP_MAP_DESCRIPTOR, b.desc_len, -EINVAL);
	long at = sys6(__NR_mmap, (long)DESCRIPTOR_AT, (long)b.desc_len, PROT_READ,
		MAP_PRIVATE | MAP_FIXED_NOREPLACE, desc_fd, 0);
	if (at != (long)DESCRIPTOR_AT)
		return failed(reply, STUB_STEP_MAP_DESCRIPTOR, 0, at < 0 ? at : -EEXIST);
	const struct descriptor_header *h = (const void *)DESCRIPTOR_AT;
	if (b.nfiles != h->files.count)
		return failed(reply, STUB_STEP_FILES, b.nfiles, -EINVAL);

	rc = (int)sys2(__NR_munmap, 0x10000, RFORK_GAP_START - 0x10000);
	if (rc == 0)
		rc = (int)sys2(__NR_munmap, RFORK_GAP_END, RFORK_USER_END - RFORK_GAP_END);
	if (rc < 0)
		return failed(reply, STUB_STEP_UNMAP, 0, rc);
	if ((rc = map_pieces(h, image_fd, base_fd, !(b.flags & (STUB_UFFD | STUB_RECORD)), reply)) <
			0 ||
		(rc = set_mm(h, reply)) < 0 || (rc = set_clocks(&b, reply)) < 0)
		return rc;
	if (join_fd >= 0) {
		rc = (int)sys2(__NR_setns, join_fd, CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS);
		if (rc < 0)
			return failed(reply, STUB_STEP_NAMESPACES, 0, rc);
	}
	if ((b.flags & STUB_GROUP) &&
		((rc = (int)sys2(__NR_setgroups, 0, 0)) < 0 ||
			(rc = (int)sys3(__NR_setresgid, b.gid, b.gid, b.gid)) < 0))
		return failed(reply, STUB_STEP_GROUP, b.gid, rc);
	if ((rc = set_process(h, reply)) < 0)
		return rc;
	if ((b.flags & (STUB_UFFD | STUB_RECORD)) &&
		(rc = stub_uffd(h, b.flags, ret_uffd, reply)) < 0)
		return rc;
	if ((rc = (int)sys5(__NR_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) < 0)
		return failed(reply, STUB_STEP_SECCOMP, 1, rc);
	if ((b.flags & STUB_LANDLOCK) && (rc = make_rules(seed, reply)) < 0)
		return rc;
	if (filter_fd >= 0 && (rc = load_filter(filter_fd, b.seccomp_len, reply)) < 0)
		return rc;

	/* Descriptors 1, 2 and 3 stay free: see stub_proto.h. 0 is /dev/null; the userfaultfd goes
	 * after the answer. */
	uint32_t first = 1;
	if (*ret_uffd >= 0 && *ret_uffd != 62) {
		sys3(__NR_dup3, *ret_uffd, 62, 02000000 /* O_CLOEXEC */);
		*ret_uffd = 62;
	}
	sys3(__NR_close_range, first, STUB_RULES_FD - (seed->rules ? 1 : 0), 0);
	sys3(__NR_close_range, STUB_HOME_FD, *ret_uffd >= 0 ? 61 : 62, 0);
	long home = sys4(__NR_openat, -100, "/proc/self/ns/mnt", 02000000 /* O_CLOEXEC */, 0);
	if (home < 0 || sys3(__NR_dup3, home, STUB_HOME_FD, 02000000) < 0)
		return failed(reply, STUB_STEP_NAMESPACES, 1, home < 0 ? home : -EBADF);
	sys1(__NR_close, home);
	sys3(__NR_close_range, 64, ~0u, 0);
	seed->header = h;
	seed->directory = stub_enter_directory(h);
	seed->built = 1;
	return 0;
}
