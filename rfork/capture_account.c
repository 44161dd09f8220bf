/* Reading the lists of a struct safepoint_state. */
#include "rfork/capture_account.h"

#include "base/err.h"
#include "rfork/descriptor.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int read_list(int mem, uint64_t addr, uint32_t count, uint32_t max, size_t size,
	void **ret_items, struct ramet_err *err)
{
	if (count == 0)
		return 0;
	if (count > max || addr > RFORK_USER_END)
		return err_set(
			err, RAMET_EPROTO, "capture: the host's account of itself is damaged");
	auto_free void *items = malloc(count * size);
	if (!items)
		return err_nomem(err);
	if (pread(mem, items, count * size, (off_t)addr) != (ssize_t)(count * size))
		return err_set(
			err, RAMET_EPROTO, "capture: the host's account of itself is cut off");
	*ret_items = steal_ptr(&items);
	return 0;
}

int capture_account_read(pid_t pid, const struct safepoint_state *state,
	struct capture_account *ret_account, struct ramet_err *err)
{
	char path[64];
	void *fds = NULL;
	void *ranges = NULL;
	snprintf(path, sizeof(path), "/proc/%d/mem", pid);
	auto_close int mem = open(path, O_RDONLY | O_CLOEXEC);
	if (mem < 0)
		return err_errno(err, RAMET_EIO, "open %s", path);
	int rc = read_list(mem, state->fds, state->nfds, ACCOUNT_MAX_FDS, sizeof(struct account_fd),
		&fds, err);
	if (rc == 0)
		rc = read_list(mem, state->ranges, state->nranges, ACCOUNT_MAX_RANGES,
			sizeof(struct account_range), &ranges, err);
	*ret_account = (struct capture_account){
		fds, ranges, fds ? state->nfds : 0, ranges ? state->nranges : 0};
	for (uint32_t i = 0; i < ret_account->nfds; i++) /* shown to people */
		ret_account->fds[i].why[ACCOUNT_WHY_MAX - 1] = '\0';
	return rc;
}

void capture_account_fini(struct capture_account *account)
{
	free(account->fds);
	free(account->ranges);
	*account = (struct capture_account){0};
}

const struct account_fd *capture_account_fd(const struct capture_account *account, int fd)
{
	for (uint32_t i = 0; i < account->nfds; i++)
		if (account->fds[i].fd == fd)
			return &account->fds[i];
	return NULL;
}

/* one line of smaps may be what another kernel interface tells in two */
bool capture_account_covers(const struct capture_account *account, uint64_t start, uint64_t end)
{
	for (uint32_t i = 0; i < account->nranges && start < end; i++)
		for (uint32_t j = 0; j < account->nranges && start < end; j++)
			if (account->ranges[j].start <= start && account->ranges[j].end > start)
				start = account->ranges[j].end;
	return start >= end;
}
