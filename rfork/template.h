/* ramet-spawn's side of a template: start a stub, turn it into a seed, make clones. Blocking calls
 * over the stub's socket, each bounded by a timeout: ramet-spawn is single-threaded and a stub
 * answers in microseconds. rfork/stub_proto.h is what travels. */
#ifndef RFORK_TEMPLATE_H
#define RFORK_TEMPLATE_H

#include "ramet/error.h"
#include "rfork/descriptor.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct template;

/* template_start - exec a stub that waits (for a pool). stub_path: the ramet-stub executable. */
int template_start(const char *stub_path, struct template **ret_template, struct ramet_err *err);
void template_destroy(struct template *tmpl); /* kills it; its clones live on; NULL is fine. The
						 caller's reaper sees the pid. */
pid_t template_pid(const struct template *tmpl);
int template_fd(const struct template *tmpl); /* the stub's socket: hangs up when the stub dies */

struct template_setup {
	int desc_fd, image_fd;
	bool layered; /* the descriptor has a base, whose image is base_fd */
	int base_fd;
	const int *file_fds; /* one for each file of the descriptor, O_RDONLY, in order */
	uint32_t nfiles;
	int64_t mono_offset_ns, boot_offset_ns; /* for a time namespace; both 0: none */
	bool uffd; /* pages may be missing: register userfaultfd on image pieces */
	/* register MODE_WP with nothing protected: no fault-around, so that the page tables of a
	 * clone are exact (working_set_record()). Without uffd a clone's userfaultfd has no events
	 * but those of its own forks, which must be read all the same. */
	bool record;
	const void *seccomp; /* struct sock_filter[], or NULL */
	uint32_t seccomp_len; /* in instructions */
	bool landlock; /* its clones read files, and no more (rfork/landlock.h) */
	bool drop_groups; /* gid becomes the only group of the template and its clones */
	gid_t gid;
	int ns_pidfd; /* join this process's network, IPC and UTS namespaces; -1: stay */
};
/* template_build - *ret_uffd: the template's userfaultfd, whose EVENT_FORK must be read, or -1 */
int template_build(struct template *tmpl, const struct template_setup *setup, int *ret_uffd,
	struct ramet_err *err);

struct template_clone {
	int sandbox_pidfd; /* a process in the PID and mount namespaces to join; -1: none (tests) */
	bool prepared; /* instead: that which was `next` of the last clone of this template; ESRCH
			  if it has died */
	int next_pidfd; /* the template gets ready for it once it has answered, which saves the next
			   clone a part of its time, whether this one succeeds or not; -1: none */
	int control_fd, log_fd;
	uid_t uid;
	bool drop; /* switch to uid, without capabilities */
	const uint64_t
		*populate; /* address ranges {start, end} to populate for writing before resuming */
	uint32_t npopulate; /* pairs, at most TEMPLATE_MAX_POPULATE */
};
#define TEMPLATE_MAX_POPULATE 64

/* template_clone_send/_wait - the child's pid as this process sees it; it is the caller's child
 * (CLONE_PARENT). Between the two, with uffd, the caller must read EVENT_FORK from the template's
 * userfaultfd or clone(2) never returns: send, read the event, then wait. */
int template_clone_send(
	struct template *tmpl, const struct template_clone *clone, struct ramet_err *err);
int template_clone_wait(struct template *tmpl, pid_t *ret_pid, struct ramet_err *err);
/* template_read_fork - the child's userfaultfd, from the template's (blocks up to timeout_ms) */
int template_read_fork(int uffd, unsigned timeout_ms, int *ret_child_uffd, struct ramet_err *err);

#endif
