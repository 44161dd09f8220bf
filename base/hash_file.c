/* SHA-256 of files, with a cache: mapped libraries and packages are hashed once, however many seeds
 * name them. */
#include "base/cancel.h"
#include "base/cleanup.h"
#include "base/fault.h"
#include "base/hash.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define CHUNK (256u * 1024)
#define CACHE_SETS 1024 /* × CACHE_WAYS entries of 96 bytes: 384 KiB, allocated on first use */
#define SETTLE_SEC 2 /* the coarsest clock that a file system keeps */
#define CACHE_WAYS 4

/* what stands for a file's content as long as nobody sets clocks back */
struct file_key {
	uint64_t dev, ino, size, mtime_sec, mtime_nsec, ctime_sec, ctime_nsec;
};

struct entry {
	struct file_key key;
	struct sha256 sum;
	uint64_t used; /* clock of the cache; 0: free */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct entry (*cache)[CACHE_WAYS];
static uint64_t cache_clock;

DEFINE_CLEANUP(struct sha256_stream, sha256_stream_destroy)

static struct file_key key_of(const struct stat *st)
{
	return (struct file_key){st->st_dev, st->st_ino, (uint64_t)st->st_size,
		(uint64_t)st->st_mtim.tv_sec, (uint64_t)st->st_mtim.tv_nsec,
		(uint64_t)st->st_ctim.tv_sec, (uint64_t)st->st_ctim.tv_nsec};
}

static bool key_equal(const struct file_key *a, const struct file_key *b)
{
	return a->dev == b->dev && a->ino == b->ino && a->size == b->size &&
		a->mtime_sec == b->mtime_sec && a->mtime_nsec == b->mtime_nsec &&
		a->ctime_sec == b->ctime_sec && a->ctime_nsec == b->ctime_nsec;
}

/* the entry of key, or NULL; with the lock held and the cache allocated */
static struct entry *find(struct entry *set, const struct file_key *key)
{
	for (unsigned i = 0; i < CACHE_WAYS; i++)
		if (set[i].used && key_equal(&set[i].key, key))
			return &set[i];
	return NULL;
}

static struct entry *set_of(const struct file_key *key)
{
	return cache[hash64(key, sizeof(*key)) % CACHE_SETS];
}

static bool cache_get(const struct file_key *key, struct sha256 *ret)
{
	pthread_mutex_lock(&lock);
	struct entry *entry = cache ? find(set_of(key), key) : NULL;
	if (entry) {
		entry->used = ++cache_clock;
		*ret = entry->sum;
	}
	pthread_mutex_unlock(&lock);
	return entry != NULL;
}

/* the entry of key, else a free one, else the one that was not used for longest */
static struct entry *find_room(const struct file_key *key)
{
	struct entry *set = set_of(key);
	struct entry *oldest = find(set, key);
	if (oldest)
		return oldest;
	oldest = set;
	for (unsigned i = 1; i < CACHE_WAYS; i++)
		if (set[i].used < oldest->used)
			oldest = &set[i];
	return oldest;
}

static void cache_put(const struct file_key *key, const struct sha256 *sum)
{
	pthread_mutex_lock(&lock);
	if (!cache)
		cache = calloc(CACHE_SETS, sizeof(*cache));
	if (cache)
		*find_room(key) = (struct entry){*key, *sum, ++cache_clock};
	pthread_mutex_unlock(&lock);
}

/* A file that was written just now may be written again within one tick of its clock and keep its
 * key. */
static bool settled(const struct stat *st)
{
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	return now.tv_sec - st->st_ctim.tv_sec > SETTLE_SEC &&
		now.tv_sec - st->st_mtim.tv_sec > SETTLE_SEC;
}

void sha256_cache_clear(void)
{
	pthread_mutex_lock(&lock);
	free(cache);
	cache = NULL;
	pthread_mutex_unlock(&lock);
}

static int read_all(int fd, struct sha256_stream *stream, struct ramet_err *err)
{
	auto_free unsigned char *chunk = malloc(CHUNK);
	if (!chunk)
		return err_nomem(err);
	for (off_t at = 0;;) {
		if (cancel_asked())
			return err_set(err, RAMET_ECANCELED, "given up: this node ends");
		ssize_t n =
			fault_hit("hash.read") ? (errno = EIO, -1) : pread(fd, chunk, CHUNK, at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_errno(err, RAMET_EIO, "read a file to hash it");
		if (n == 0)
			return 0;
		int rc = sha256_stream_add(stream, chunk, (size_t)n, err);
		if (rc < 0)
			return rc;
		at += n;
	}
}

int sha256_fd(int fd, struct sha256 *ret, struct ramet_err *err)
{
	struct stat st, after;
	if (fstat(fd, &st) < 0)
		return err_errno(err, RAMET_EIO, "fstat a file to hash it");
	if (!S_ISREG(st.st_mode))
		return err_set(err, RAMET_EINVAL, "only regular files are hashed");
	struct file_key key = key_of(&st);
	if (cache_get(&key, ret))
		return 0;
	AUTO(sha256_stream_destroy) struct sha256_stream *stream = NULL;
	int rc = sha256_stream_create(&stream, err);
	if (rc == 0)
		rc = read_all(fd, stream, err);
	if (rc < 0)
		return rc;
	if (fstat(fd, &after) < 0)
		return err_errno(err, RAMET_EIO, "fstat a file to hash it");
	struct file_key key_after = key_of(&after);
	if (!key_equal(&key, &key_after))
		return err_set(err, RAMET_EAGAIN, "the file changed while it was hashed");
	struct sha256 sum;
	rc = sha256_stream_end(stream, &sum, err);
	if (rc < 0)
		return rc;
	if (settled(&after))
		cache_put(&key, &sum);
	*ret = sum;
	return 0;
}
