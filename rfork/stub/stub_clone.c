/* One clone: the template's copy of itself joins its sandbox, takes its identity, drops its rights,
 * and becomes the captured thread. All that clones have in common was set in the template
 * (stub_build.c). In a clone only code and the handover page are left of the stub. */
#include "rfork/stub/stub.h"

#include "rfork/landlock.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/prctl.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/mman.h>

void *memcpy(void *restrict dst, const void *restrict src, size_t n);

#define MADV_POPULATE_WRITE_NR 23
#define CLONE_FAILED 120 /* exit status of a clone that could not be set up */

/* At the start of the handover page; the clone's stack is the rest of it. */
struct handover {
	uint32_t prepared;
	uint32_t rules; /* STUB_RULES_FD is there */
	struct arch_context context;
	uint64_t robust_list, robust_list_len;
	uint64_t rseq, rseq_len, rseq_sig;
	uint64_t sigmask;
	struct stub_clone clone;
};
_Static_assert(sizeof(struct handover) < 2048, "half a page is left for the stack");

/* the end of a clone that would have more rights than it should */
static _Noreturn void give_up(const char *why, unsigned long len)
{
	sys3(__NR_write, 2, why, len);
	stub_exit(CLONE_FAILED);
}

/* the tenant's group is the template's already */
static void drop_rights(const struct stub_clone *c)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct none[2] = {{0}};
	long rc = sys3(__NR_setresuid, c->uid, c->uid, c->uid);
	if (rc == 0) /* the kernel has done so only if the uid was 0 and is another now */
		rc = sys2(__NR_capset, &header, none);
	if (rc < 0) {
		static const char why[] = "ramet: a clone could not drop its rights\n";
		give_up(why, sizeof(why) - 1);
	}
	sys5(__NR_prctl, PR_SET_DUMPABLE, 1, 0, 0,
		0); /* else /proc/self would be unreadable after the switch */
}

/* Here and not in the template, which could not join sandboxes any more: it would be refused to
 * look at processes that have not given up as much. */
static void give_up_files(void)
{
	if (sys2(LANDLOCK_NR_RESTRICT, STUB_RULES_FD, 0) < 0) {
		static const char why[] = "ramet: a clone could not give up files (Landlock)\n";
		give_up(why, sizeof(why) - 1);
	}
}

/* A hint: ranges that are not mapped are passed over, and before Linux 5.14 all of it is. */
static void populate(const struct stub_clone *c)
{
	for (uint32_t i = 0; i < c->npopulate; i++)
		if (sys3(__NR_madvise, c->populate[i][0], c->populate[i][1] - c->populate[i][0],
			    MADV_POPULATE_WRITE_NR) == -EINVAL)
			return;
}

static void become(void *arg)
{
	const struct handover *handover = arg;
	const struct stub_clone *c = &handover->clone;

	if (handover->rules)
		give_up_files();
	sys3(__NR_close_range, STUB_CONTROL_FD + 1, ~0u, 0);
	sys3(__NR_fcntl, STUB_CONTROL_FD, F_SETFD, FD_CLOEXEC); /* not for programs it runs */
	if (c->flags & STUB_DROP)
		drop_rights(c);
	if (handover->robust_list)
		sys2(__NR_set_robust_list, handover->robust_list, handover->robust_list_len);
	if (handover->rseq) {
		/* The kernel reads it, then writes: written first, its page is one fault, not two.
		 */
		*(volatile uint32_t *)handover->rseq = 0;
		sys4(__NR_rseq, handover->rseq, handover->rseq_len, 0, handover->rseq_sig);
	}
	populate(c);
	stub_resume(&handover->context, &handover->sigmask);
}

/* what is the same for all clones */
static void prepare(struct handover *handover, const struct descriptor_header *h)
{
	const struct seed_process *p = &h->process;
	handover->context = p->context;
	handover->robust_list = p->robust_list;
	handover->robust_list_len = p->robust_list_len;
	handover->rseq = p->rseq;
	handover->rseq_len = p->rseq_len;
	handover->rseq_sig = p->rseq_sig;
	handover->sigmask = p->sigmask;
	handover->prepared = 1;
	/* no clone reads it: a mapping less */
	sys3(__NR_madvise, h, (h->total_len + RFORK_PAGE - 1) / RFORK_PAGE * RFORK_PAGE,
		MADV_DONTFORK);
}

/* joining mounts leads to their root, for the clone too */
int stub_enter_directory(const struct descriptor_header *h)
{
	return (int)sys1(__NR_chdir, stub_section(h, &h->strings));
}

/* its PID namespace for the next child, its mounts for the stub too, from which the child has them
 */
static int join(int sandbox)
{
	return (int)sys2(__NR_setns, sandbox, CLONE_NEWPID | CLONE_NEWNS);
}

/* the directory, of the sandbox that was joined or of the template's own mounts */
static int check_directory(const struct stub_seed *seed, struct stub_reply *reply)
{
	if (seed->directory < 0)
		reply->step = STUB_STEP_DIRECTORY;
	return seed->directory;
}

int stub_clone(const struct stub_message *msg, struct stub_seed *seed, struct stub_reply *reply)
{
	const struct stub_clone *c = &msg->clone;
	struct handover *handover = (void *)stub_handover;

	reply->step = STUB_STEP_PROTOCOL;
	unsigned want = 3 + !!(c->flags & STUB_SANDBOX) + !!(c->flags & STUB_NEXT);
	if (msg->nfds != want || c->npopulate > STUB_MAX_POPULATE || msg->fds[0] != 1 ||
		msg->fds[1] != 2 || msg->fds[2] != 3)
		return -EPROTO;
	if (!handover->prepared)
		prepare(handover, seed->header);
	handover->rules = (uint32_t)seed->rules;
	memcpy(&handover->clone, c,
		offsetof(struct stub_clone, populate) + c->npopulate * sizeof(c->populate[0]));
	reply->step = STUB_STEP_SANDBOX;
	if ((c->flags & STUB_PREPARED) && seed->prepared < 0)
		return -ESRCH;
	if (c->flags & STUB_SANDBOX) {
		int rc = join(msg->fds[3]);
		if (rc < 0)
			return rc;
		seed->directory = stub_enter_directory(seed->header);
	}
	int entered = check_directory(seed, reply);
	if (entered < 0)
		return entered;
	reply->step = STUB_STEP_CLONE;
	return (int)stub_fork(CLONE_PARENT | CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID | SIGCHLD,
		stub_own, (void *)seed->header->process.tid_address, become, handover);
}

void stub_clone_done(const struct stub_message *msg, struct stub_seed *seed)
{
	const uint32_t flags = msg->clone.flags;
	int next = flags & STUB_NEXT && msg->nfds ? msg->fds[msg->nfds - 1] : -1;
	for (unsigned i = 0; i < msg->nfds; i++)
		if (msg->fds[i] != next)
			sys1(__NR_close, msg->fds[i]);
	if (seed->prepared >= 0 && (next >= 0 || flags & STUB_PREPARED)) {
		sys1(__NR_close, seed->prepared);
		seed->prepared = -1;
	}
	if (next >= 0)
		seed->prepared = next;
	if (seed->prepared >= 0 && join(seed->prepared) < 0) {
		sys1(__NR_close, seed->prepared); /* it has died: the next clone is told */
		seed->prepared = -1;
	}
	bool used = flags & (STUB_SANDBOX | STUB_PREPARED);
	/* what a used sandbox has in its own /tmp is not to stay because of us */
	if (seed->prepared < 0 && used)
		sys2(__NR_setns, STUB_HOME_FD, CLONE_NEWNS);
	if (seed->prepared >= 0 || used)
		seed->directory = stub_enter_directory(seed->header);
}
