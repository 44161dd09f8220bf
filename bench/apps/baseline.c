/* fork() as a baseline for bench/run fork: of the process that loads this, timed in it. */
#include <stdint.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static uint64_t now(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* baseline_fork - a child that notes the time and ends; both times from the call, in ns. 0, or -1
 */
__attribute__((visibility("default"))) int baseline_fork(
	uint64_t *ret_first_ns, uint64_t *ret_total_ns);
int baseline_fork(uint64_t *ret_first_ns, uint64_t *ret_total_ns)
{
	int wstatus;
	volatile uint64_t *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (shared == MAP_FAILED)
		return -1;
	uint64_t begin = now();
	pid_t pid = fork();
	if (pid == 0) {
		*shared = now();
		_exit(0);
	}
	int rc = pid > 0 && waitpid(pid, &wstatus, 0) == pid && wstatus == 0 ? 0 : -1;
	*ret_total_ns = now() - begin;
	*ret_first_ns = *shared - begin;
	munmap((void *)shared, sizeof(*shared));
	return rc;
}

/* baseline_plain_fork - fork() without the interpreter's own handlers */
__attribute__((visibility("default"))) int baseline_plain_fork(void);
int baseline_plain_fork(void)
{
	return (int)fork();
}
