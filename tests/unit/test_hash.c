/* base/hash: known answers, files, the cache, hex. */
#include "base/cleanup.h"
#include "base/fault.h"
#include "base/hash.h"
#include "tests/lib/suite.h"

#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static const char *hex_of(const struct sha256 *sum)
{
	static char text[SHA256_HEX_LEN + 1];
	hex_encode(sum->bytes, sizeof(sum->bytes), text);
	return text;
}

#define ABC "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
#define EMPTY "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

static void test_known_answers(void)
{
	struct sha256 sum;
	CHECK_INT(sha256_bytes("abc", 3, &sum, NULL), 0);
	CHECK_STR(hex_of(&sum), ABC);
	CHECK_INT(sha256_bytes(NULL, 0, &sum, NULL), 0);
	CHECK_STR(hex_of(&sum), EMPTY);
	CHECK(hash64("", 0) == 0x2d06800538d394c2ull);
	CHECK(hash64("abc", 3) != hash64("abd", 3));
}

static void test_stream_equals_whole(void)
{
	struct sha256_stream *stream = NULL;
	struct sha256 sum;
	REQUIRE(sha256_stream_create(&stream, NULL) == 0);
	CHECK_INT(sha256_stream_add(stream, "a", 1, NULL), 0);
	CHECK_INT(sha256_stream_add(stream, NULL, 0, NULL), 0);
	CHECK_INT(sha256_stream_add(stream, "bc", 2, NULL), 0);
	CHECK_INT(sha256_stream_end(stream, &sum, NULL), 0);
	CHECK_STR(hex_of(&sum), ABC);
	sha256_stream_destroy(stream);
	sha256_stream_destroy(NULL);
}

static void test_file_is_hashed_from_its_start(void)
{
	struct sha256 sum;
	auto_close int fd = memfd_create("t", MFD_CLOEXEC);
	REQUIRE(fd >= 0 && write(fd, "abc", 3) == 3);
	CHECK_INT(sha256_fd(fd, &sum, NULL), 0);
	CHECK_STR(hex_of(&sum), ABC);
	CHECK_INT(lseek(fd, 0, SEEK_CUR), 3);
	/* written again at once, in the same tick of the file's clock: no stale answer */
	REQUIRE(pwrite(fd, "abd", 3, 0) == 3);
	CHECK_INT(sha256_fd(fd, &sum, NULL), 0);
	CHECK(strcmp(hex_of(&sum), ABC) != 0);
	REQUIRE(ftruncate(fd, 0) == 0);
	CHECK_INT(sha256_fd(fd, &sum, NULL), 0);
	CHECK_STR(hex_of(&sum), EMPTY);
}

static void test_large_file_equals_its_bytes(void)
{
	enum { LEN = 3 * 1024 * 1024 + 17 };
	struct sha256 a, b;
	auto_close int fd = memfd_create("t", MFD_CLOEXEC);
	REQUIRE(fd >= 0 && ftruncate(fd, LEN) == 0);
	unsigned char *bytes = mmap(NULL, LEN, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	REQUIRE(bytes != MAP_FAILED);
	for (unsigned i = 0; i < LEN; i++)
		bytes[i] = (unsigned char)(i * 7 + i / 251);
	CHECK_INT(sha256_bytes(bytes, LEN, &a, NULL), 0);
	CHECK_INT(sha256_fd(fd, &b, NULL), 0);
	CHECK(memcmp(&a, &b, sizeof(a)) == 0);
	munmap(bytes, LEN);
}

static void test_what_cannot_be_hashed(void)
{
	struct sha256 sum = {0};
	struct ramet_err err = {0};
	auto_close int dir = open("/", O_RDONLY | O_CLOEXEC);
	CHECK_INT(sha256_fd(dir, &sum, &err), RAMET_EINVAL);
	CHECK_INT(sha256_fd(-1, &sum, &err), RAMET_EIO);
	CHECK_INT(sum.bytes[0], 0);
}

#ifdef RAMET_FAULT_POINTS
static void test_an_old_file_is_read_once(void)
{
	struct sha256 a, b = {0};
	struct ramet_err err = {0};
	auto_close int fd = open("/bin/sh", O_RDONLY | O_CLOEXEC);
	REQUIRE(fd >= 0);
	sha256_cache_clear();
	fault_set("hash.read", 0, 100);
	CHECK_INT(sha256_fd(fd, &a, &err), RAMET_EIO);
	fault_set("hash.read", 0, 0);
	CHECK_INT(sha256_fd(fd, &a, &err), 0);
	fault_set("hash.read", 0, 100);
	CHECK_INT(sha256_fd(fd, &b, &err), 0);
	CHECK(memcmp(&a, &b, sizeof(a)) == 0);
	sha256_cache_clear();
	CHECK_INT(sha256_fd(fd, &b, &err), RAMET_EIO);
	fault_set("hash.read", 0, 0);
}
#endif

static void *hash_shell(void *arg)
{
	auto_close int fd = open("/bin/sh", O_RDONLY | O_CLOEXEC);
	for (int i = 0; i < 200; i++)
		if (sha256_fd(fd, arg, NULL) < 0)
			return arg;
	return NULL;
}

static void test_threads_share_the_cache(void)
{
	struct sha256 sums[4];
	pthread_t threads[4];
	sha256_cache_clear();
	for (int i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, hash_shell, &sums[i]);
	for (int i = 0; i < 4; i++) {
		void *failed;
		pthread_join(threads[i], &failed);
		CHECK(failed == NULL);
		CHECK(memcmp(&sums[0], &sums[i], sizeof(sums[0])) == 0);
	}
	sha256_cache_clear();
}

static void test_hex(void)
{
	char text[9];
	unsigned char bytes[4] = {0};
	hex_encode("\x00\xff\x1a\xb2", 4, text);
	CHECK_STR(text, "00ff1ab2");
	CHECK_INT(hex_decode("00FF1ab2", bytes, 4), 0);
	CHECK(memcmp(bytes, "\x00\xff\x1a\xb2", 4) == 0);
	CHECK_INT(hex_decode("00ff1ab", bytes, 4), RAMET_EINVAL);
	CHECK_INT(hex_decode("00ff1ab2c", bytes, 4), RAMET_EINVAL);
	CHECK_INT(hex_decode("00ff1ag2", bytes, 4), RAMET_EINVAL);
	CHECK_INT(bytes[3], 0xb2);
}

#ifdef RAMET_FAULT_POINTS
#define CACHE_TESTS TEST(test_an_old_file_is_read_once),
#else
#define CACHE_TESTS
#endif

SUITE_MAIN("hash", TEST(test_known_answers), TEST(test_stream_equals_whole),
	TEST(test_file_is_hashed_from_its_start), TEST(test_large_file_equals_its_bytes),
	TEST(test_what_cannot_be_hashed), CACHE_TESTS TEST(test_threads_share_the_cache),
	TEST(test_hex))
