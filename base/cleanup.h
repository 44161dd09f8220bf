/* Ownership by scope: auto_* declares a local whose destructor runs when it leaves scope; steal_* hands it on. */
#ifndef BASE_CLEANUP_H
#define BASE_CLEANUP_H

#include <dirent.h>
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define CLEANUP(fn) __attribute__((cleanup(fn)))

/* DEFINE_CLEANUP(struct seed, seed_destroy) defines auto_cleanup_seed_destroy for CLEANUP(); the destructor takes NULL. */
#define DEFINE_CLEANUP(type, destroy) \
	static inline __attribute__((unused)) void auto_cleanup_##destroy(type **p) \
	{ \
		destroy(*p); \
	}
#define AUTO(destroy) CLEANUP(auto_cleanup_##destroy)

static inline void cleanup_free(void *p)
{
	free(*(void **)p);
}

static inline void close_keep_errno(int fd)
{
	if (fd < 0)
		return;
	int saved = errno;
	close(fd);
	errno = saved;
}

static inline void cleanup_close(const int *fd)
{
	close_keep_errno(*fd);
}

static inline void cleanup_fclose(FILE **f)
{
	if (*f)
		fclose(*f);
}

static inline void cleanup_closedir(DIR **d)
{
	if (*d)
		closedir(*d);
}

#define auto_free CLEANUP(cleanup_free)
#define auto_close CLEANUP(cleanup_close)
#define auto_fclose CLEANUP(cleanup_fclose)
#define auto_closedir CLEANUP(cleanup_closedir)

#define steal_ptr(pp) \
	__extension__({ \
		__typeof__(*(pp)) stolen_ = *(pp); \
		*(pp) = NULL; \
		stolen_; \
	})

static inline int steal_fd(int *fd)
{
	int stolen = *fd;
	*fd = -1;
	return stolen;
}

/* close *fd if open and forget it */
static inline void close_reset(int *fd)
{
	close_keep_errno(*fd);
	*fd = -1;
}

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))
#define container_of(ptr, type, member) ((type *)(void *)((char *)(ptr) - offsetof(type, member)))

#endif
