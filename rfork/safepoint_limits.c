/* Limits and settings: compared with those that the host began with. CPU affinity is not among
 * them: where an instance runs is the node's to say. */
#include "rfork/safepoint_limits.h"

#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

enum setting { SUBREAPER, TIMER_SLACK, THP_DISABLE, SETTINGS };

struct limits {
	struct rlimit limit[RLIM_NLIMITS];
	int nice;
	long setting[SETTINGS];
};

static struct limits given, now;
static uint64_t changed; /* limits */
static int begun;

static void read_all(struct limits *l)
{
	int subreaper = 0;
	for (int i = 0; i < (int)RLIM_NLIMITS; i++)
		(void)getrlimit((__rlimit_resource_t)i, &l->limit[i]);
	l->nice = getpriority(PRIO_PROCESS, 0);
	(void)prctl(PR_GET_CHILD_SUBREAPER, &subreaper, 0, 0, 0);
	l->setting[SUBREAPER] = subreaper;
	l->setting[TIMER_SLACK] = prctl(PR_GET_TIMERSLACK, 0, 0, 0, 0);
	l->setting[THP_DISABLE] = prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0);
}

void limits_begin(void)
{
	read_all(&given);
	begun = 1;
}

void limits_save(bool *ret_any)
{
	changed = 0;
	if (!begun)
		return;
	read_all(&now);
	for (unsigned i = 0; i < RLIM_NLIMITS; i++)
		if (memcmp(&now.limit[i], &given.limit[i], sizeof(now.limit[i])) != 0)
			changed |= 1ull << i;
	*ret_any = changed || now.nice > given.nice ||
		memcmp(now.setting, given.setting, sizeof(now.setting)) != 0;
}

static void lower(__rlimit_resource_t which, struct rlimit wanted)
{
	struct rlimit here;
	if (getrlimit(which, &here) < 0)
		return;
	if (wanted.rlim_max > here.rlim_max)
		wanted.rlim_max = here.rlim_max;
	if (wanted.rlim_cur > wanted.rlim_max)
		wanted.rlim_cur = wanted.rlim_max;
	(void)setrlimit(which, &wanted);
}

static void restore_settings(void)
{
	static const int options[SETTINGS] = {
		PR_SET_CHILD_SUBREAPER, PR_SET_TIMERSLACK, PR_SET_THP_DISABLE};
	for (unsigned i = 0; i < SETTINGS; i++)
		if (now.setting[i] != given.setting[i])
			(void)prctl(options[i], now.setting[i], 0, 0, 0);
}

void limits_restore(void)
{
	for (unsigned i = 0; i < RLIM_NLIMITS; i++)
		if (changed >> i & 1)
			lower((__rlimit_resource_t)i, now.limit[i]);
	if (now.nice > given.nice)
		(void)setpriority(PRIO_PROCESS, 0, now.nice);
	restore_settings();
}
