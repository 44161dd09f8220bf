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

/* A host may say as much as there is room for: nothing below looks through all of it. */
static int by_number(const void *left, const void *right)
{
	const struct account_fd *a = left, *b = right;
	return (a->fd > b->fd) - (a->fd < b->fd);
}

static int by_start(const void *left, const void *right)
{
	const struct account_range *a = left, *b = right;
	return (a->start > b->start) - (a->start < b->start);
}

/* in order, and apart from each other */
static uint32_t join_ranges(struct account_range *ranges, uint32_t count)
{
	uint32_t kept = 0;
	if (count > 0)
		qsort(ranges, count, sizeof(*ranges), by_start);
	for (uint32_t i = 0; i < count; i++) {
		if (kept > 0 && ranges[i].start <= ranges[kept - 1].end)
			ranges[kept - 1].end = MAX(ranges[kept - 1].end, ranges[i].end);
		else if (ranges[i].start < ranges[i].end)
			ranges[kept++] = ranges[i];
	}
	return kept;
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
	*ret_account = (struct capture_account){fds, ranges, fds ? state->nfds : 0,
		ranges ? join_ranges(ranges, state->nranges) : 0};
	for (uint32_t i = 0; i < ret_account->nfds; i++) /* shown to people */
		ret_account->fds[i].why[ACCOUNT_WHY_MAX - 1] = '\0';
	if (fds)
		qsort(fds, state->nfds, sizeof(*ret_account->fds), by_number);
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
	const struct account_fd wanted = {.fd = fd};
	return account->nfds == 0
		? NULL
		: bsearch(&wanted, account->fds, account->nfds, sizeof(wanted), by_number);
}

/* one line of smaps may be what another kernel interface tells in two */
bool capture_account_covers(const struct capture_account *account, uint64_t start, uint64_t end)
{
	uint32_t low = 0, high = account->nranges; /* the last that begins at or before start */
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		if (account->ranges[middle].start <= start)
			low = middle + 1;
		else
			high = middle;
	}
	return start >= end || (low > 0 && account->ranges[low - 1].end >= end);
}
