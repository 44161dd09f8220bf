/* Pending signals. The kernel shows what comes with one only to who takes it: each is taken and
 * sent again, in order. */
#include "rfork/safepoint_signals.h"

#include "rfork/safepoint_account.h"
#include "rfork/safepoint_text.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

struct pending {
	struct pending *next;
	siginfo_t info;
	bool to_thread;
};

static struct pending *pendings;

static bool to_thread(int sig)
{
	struct text text;
	char line[128];
	uint64_t set = 0;
	if (!text_open(&text, "/proc/self/status"))
		return false;
	while (text_line(&text, line, sizeof(line)) && !text_number(line, "SigPnd:", 16, &set))
		;
	text_close(&text);
	return set >> (sig - 1) & 1;
}

static int send_again(const struct pending *p)
{
	siginfo_t info = p->info;
	return (int)(p->to_thread
			? syscall(SYS_rt_tgsigqueueinfo, getpid(), gettid(), info.si_signo, &info)
			: syscall(SYS_rt_sigqueueinfo, getpid(), info.si_signo, &info));
}

/* the kernel takes the thread's own of a number first, and so do we */
static int take_all(uint64_t set, struct ramet_err *err)
{
	static const struct timespec none;
	struct pending **end = &pendings;
	for (int sig = 1; sig <= 64; sig++) {
		const uint64_t one = 1ull << (sig - 1);
		while (set & one) {
			bool thread = to_thread(sig);
			siginfo_t info;
			if (syscall(SYS_rt_sigtimedwait, &one, &info, &none, 8) < 0)
				break;
			struct pending *p = account_alloc(sizeof(*p));
			if (!p) {
				err->code = RAMET_ENOMEM;
				snprintf(err->msg, sizeof(err->msg),
					"capture: no memory to write down pending signals");
				const struct pending lost = {.info = info, .to_thread = thread};
				(void)send_again(&lost);
				return err->code;
			}
			*p = (struct pending){.info = info, .to_thread = thread};
			*end = p;
			end = &p->next;
		}
	}
	return 0;
}

int signals_save(bool *ret_any, struct ramet_err *err)
{
	uint64_t set = 0;
	pendings = NULL;
	if (syscall(SYS_rt_sigpending, &set, 8) < 0 || set == 0)
		return 0;
	int rc = take_all(set, err);
	*ret_any = pendings != NULL;
	for (const struct pending *p = pendings; p; p = p->next)
		(void)send_again(p);
	return rc;
}

int signals_restore(struct ramet_err *err)
{
	for (const struct pending *p = pendings; p; p = p->next)
		if (send_again(p) < 0) {
			err->code = RAMET_EREFUSED;
			err->sys = errno;
			snprintf(err->msg, sizeof(err->msg),
				"send a clone its pending signal %d: %s", p->info.si_signo,
				strerror(errno));
			return err->code;
		}
	return 0;
}
