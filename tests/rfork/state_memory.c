/* Cases: shared memory of the process alone. */
#include "tests/rfork/state.h"

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096u
#define PAGES 300u

/* what a child of this process sees a word become, and we see the child's */
static const char *check_shared_with_child(volatile uint64_t *word)
{
	int status = -1;
	*word = 1000;
	pid_t pid = fork();
	if (pid == 0) {
		bool seen = *word == 1000;
		*word = 2000;
		_exit(seen ? 0 : 1);
	}
	STATE_EXPECT(pid > 0);
	STATE_EXPECT_INT(waitpid(pid, &status, 0), pid);
	STATE_EXPECT_INT(status, 0);
	STATE_EXPECT_INT(*word, 2000);
	return NULL;
}

static void fill(volatile uint64_t *words, uint64_t from)
{
	for (unsigned i = 0; i < PAGES; i++)
		words[i * PAGE / 8] = from + i;
}

static const char *check_filled(const volatile uint64_t *words, uint64_t from)
{
	for (unsigned i = 0; i < PAGES; i++)
		STATE_EXPECT_INT(words[i * PAGE / 8], from + i);
	return NULL;
}

/* --- anonymous --- */

static volatile uint64_t *anonymous;

static int anonymous_setup(void)
{
	anonymous =
		mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (anonymous == MAP_FAILED)
		return STATE_BROKEN;
	fill(anonymous, 1);
	/* in three mappings of different rights */
	return mprotect((char *)anonymous + 100 * PAGE, PAGE, PROT_READ) == 0 ? STATE_OK
									      : STATE_BROKEN;
}

/* the host may change it as soon as it runs on, and clones do not see that */
static const char *anonymous_check(void)
{
	const char *wrong = check_filled(anonymous, 1);
	if (!wrong)
		wrong = check_shared_with_child(&anonymous[PAGE / 8 + 1]);
	anonymous[PAGE / 8 + 1] = 0;
	return wrong;
}

/* --- a file of /dev/shm that was deleted: what semaphores of multiprocessing are --- */

static volatile uint64_t *semaphore;

static int deleted_setup(void)
{
	int fd = open("/dev/shm", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd < 0)
		return STATE_NOT_HERE;
	if (ftruncate(fd, 32) < 0)
		return STATE_BROKEN;
	semaphore = mmap(NULL, 32, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (semaphore == MAP_FAILED)
		return STATE_BROKEN;
	semaphore[0] = 17;
	return STATE_OK;
}

static const char *deleted_check(void)
{
	STATE_EXPECT_INT(semaphore[0], 17);
	return check_shared_with_child(&semaphore[1]);
}

/* --- memfd --- */

#define SIZE (10u << 20)

static int memfd, memfd_again, sealed;
static volatile uint64_t *mapped, *mapped_sealed;

static int memfd_setup(void)
{
	char path[48];
	memfd = memfd_create("state", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", memfd);
	memfd_again = open(path, O_RDONLY | O_CLOEXEC);
	sealed = memfd_create("sealed", MFD_ALLOW_SEALING);
	if (ftruncate(memfd, SIZE) < 0 || pwrite(memfd, "middle", 6, SIZE / 2) != 6 ||
		lseek(memfd, 12345, SEEK_SET) < 0 || lseek(memfd_again, 77, SEEK_SET) < 0 ||
		write(sealed, "for good", 8) != 8 || fcntl(memfd, F_ADD_SEALS, F_SEAL_SHRINK) < 0 ||
		fcntl(sealed, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SEAL) < 0)
		return STATE_BROKEN;
	mapped = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, memfd, PAGE);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", sealed);
	int readable = open(path, O_RDONLY | O_CLOEXEC);
	mapped_sealed = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, readable, 0);
	close(readable);
	if (mapped == MAP_FAILED || mapped_sealed == MAP_FAILED)
		return STATE_BROKEN;
	fill(mapped, 5000);
	return STATE_OK;
}

static const char *sealed_check(void)
{
	char bytes[8] = "";
	STATE_EXPECT_INT(fcntl(memfd, F_GET_SEALS), F_SEAL_SHRINK);
	STATE_EXPECT_INT(fcntl(sealed, F_GET_SEALS), F_SEAL_WRITE | F_SEAL_SEAL);
	STATE_EXPECT_INT(pread(sealed, bytes, 8, 0), 8);
	STATE_EXPECT(memcmp(bytes, "for good", 8) == 0);
	STATE_EXPECT(memcmp((const char *)(uintptr_t)mapped_sealed, "for good", 8) == 0);
	return NULL;
}

static const char *memfd_check(void)
{
	char bytes[8] = "";
	uint64_t word = 0;
	struct stat st;
	STATE_EXPECT_INT(lseek(memfd, 0, SEEK_CUR), 12345);
	STATE_EXPECT_INT(lseek(memfd_again, 0, SEEK_CUR), 77);
	STATE_EXPECT_INT(fcntl(memfd_again, F_GETFL) & O_ACCMODE, O_RDONLY);
	STATE_EXPECT(fstat(memfd, &st) == 0 && st.st_size == SIZE);
	STATE_EXPECT(st.st_blocks * 512 < SIZE / 4); /* its holes are none of memory */
	STATE_EXPECT_INT(pread(memfd_again, bytes, 6, SIZE / 2), 6);
	STATE_EXPECT(memcmp(bytes, "middle", 6) == 0);
	const char *wrong = check_filled(mapped, 5000);
	if (wrong)
		return wrong;
	mapped[1] = 4321; /* and through the descriptor */
	STATE_EXPECT_INT(pread(memfd, &word, sizeof(word), PAGE + 8), sizeof(word));
	STATE_EXPECT_INT(word, 4321);
	return sealed_check();
}

/* --- what is refused --- */

static volatile char *refused;
static char refused_path[64];

static int file_setup(void)
{
	snprintf(refused_path, sizeof(refused_path), "/dev/shm/ramet-state.%d", getpid());
	int fd = open(refused_path, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
	if (fd < 0)
		return STATE_NOT_HERE;
	if (ftruncate(fd, PAGE) < 0)
		return STATE_BROKEN;
	refused = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	return refused == MAP_FAILED ? STATE_BROKEN : STATE_OK;
}

static const char *file_check(void)
{
	static int checks;
	refused[0] = 1;
	if (++checks == 2)
		STATE_EXPECT_INT(unlink(refused_path), 0);
	return NULL;
}

static int segment_setup(void)
{
	int id = shmget(IPC_PRIVATE, PAGE, IPC_CREAT | 0600);
	if (id < 0)
		return STATE_NOT_HERE;
	refused = shmat(id, NULL, 0);
	(void)shmctl(id, IPC_RMID, NULL);
	return refused == (void *)-1 ? STATE_BROKEN : STATE_OK;
}

static const char *segment_check(void)
{
	refused[0] = 1;
	return NULL;
}

const struct state_case state_memory[] = {
	{.name = "shared anonymous memory",
		.setup = anonymous_setup,
		.check_child = anonymous_check,
		.check_parent = anonymous_check,
		.fault = "safepoint.shared"},
	{.name = "shared memory of a deleted file",
		.setup = deleted_setup,
		.check_child = deleted_check,
		.check_parent = deleted_check,
		.fault = "safepoint.shared"},
	{.name = "memfd",
		.setup = memfd_setup,
		.check_child = memfd_check,
		.check_parent = memfd_check,
		.fault = "safepoint.memfd"},
	{.name = "shared mapping of a file",
		.setup = file_setup,
		.check_parent = file_check,
		.refused = "is shared with other processes (/dev/shm/ramet-state."},
	{.name = "System V shared memory",
		.setup = segment_setup,
		.check_parent = segment_check,
		.refused = "is shared with other processes (/SYSV"},
	{.name = NULL},
};
