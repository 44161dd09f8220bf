/* The table of open descriptors: what each is, which share an open file description, and the files
 * and devices that are simply opened again. */
#include "rfork/safepoint_fds.h"

#include "rfork/safepoint.h"
#include "rfork/safepoint_fault.h"
#include "rfork/safepoint_text.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define TARGET_MAX 512

struct file {
	uint64_t dev, ino, size;
	char path[];
};

/* --- for all kinds --- */

void fds_refuse(struct account_fd *f, const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	vsnprintf(f->why, sizeof(f->why), fmt, args);
	va_end(args);
	f->kind = ACCOUNT_REFUSED;
}

static int fail(struct ramet_err *err, int code, int sys, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
static int fail(struct ramet_err *err, int code, int sys, const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	err->code = code;
	err->sys = sys;
	int n = vsnprintf(err->msg, sizeof(err->msg), fmt, args);
	va_end(args);
	if (sys && n > 0 && (size_t)n < sizeof(err->msg))
		snprintf(err->msg + n, sizeof(err->msg) - (size_t)n, ": %s", strerror(sys));
	return code;
}

int fds_no_memory(struct ramet_err *err)
{
	return fail(err, RAMET_ENOMEM, 0, "capture: no memory to write down open descriptors");
}

int fds_fail(const struct account_fd *f, const char *what, struct ramet_err *err)
{
	return fail(err, RAMET_EREFUSED, errno, "descriptor %d of a clone: %s", f->fd, what);
}

int fds_raise(const struct fds *fds, int fd)
{
	if (fd < 0)
		return fd;
	int high = fcntl(fd, F_DUPFD_CLOEXEC, fds->base);
	int error = errno;
	close(fd);
	errno = error;
	return high;
}

struct account_fd *fds_number(const struct fds *fds, int fd)
{
	for (uint32_t i = 0; i < fds->count; i++)
		if (fds->items[i].fd == fd)
			return &fds->items[i];
	return NULL;
}

bool fds_info(int fd, const char *key, char *value, size_t cap)
{
	struct text text;
	char line[256];
	char path[48];
	bool found = false;
	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	if (!text_open(&text, path))
		return false;
	while (!found && text_line(&text, line, sizeof(line))) {
		found = strncmp(line, key, strlen(key)) == 0;
		if (found)
			snprintf(value, cap, "%s", line + strlen(key));
	}
	text_close(&text);
	return found;
}

bool fds_info_number(int fd, const char *key, int base, uint64_t *ret)
{
	char value[64];
	if (!fds_info(fd, key, value, sizeof(value)))
		return false;
	*ret = strtoull(value, NULL, base);
	return true;
}

/* --- what a descriptor is --- */

static bool is_stdio(const struct account_fd *f)
{
	struct stat st;
	for (int fd = 1; fd <= 2; fd++)
		if (fstat(fd, &st) == 0 && st.st_dev == f->dev && st.st_ino == f->ino &&
			(f->flags & O_ACCMODE) != O_RDONLY)
			return true;
	return false;
}

static uint32_t kind_of_node(const struct stat *st)
{
	static const unsigned harmless[] = {3, 5, 7, 8, 9}; /* null zero full random urandom */
	for (size_t i = 0; i < sizeof(harmless) / sizeof(harmless[0]); i++)
		if (st->st_rdev == makedev(1, harmless[i]))
			return ACCOUNT_NODE;
	return ACCOUNT_REFUSED;
}

static uint32_t kind_of_file(const struct account_fd *f, const struct stat *st, const char *target)
{
	if (strncmp(target, "/memfd:", 7) == 0)
		return ACCOUNT_MEMFD;
	bool reads = (f->flags & O_ACCMODE) == O_RDONLY || f->flags & O_PATH;
	return reads && st->st_nlink > 0 ? ACCOUNT_FILE : ACCOUNT_REFUSED;
}

static uint32_t kind_of_anonymous(const char *target)
{
	static const struct {
		const char *target;
		uint32_t kind;
	} kinds[] = {{"anon_inode:[eventfd]", ACCOUNT_EVENTFD},
		{"anon_inode:[eventpoll]", ACCOUNT_EPOLL},
		{"anon_inode:[timerfd]", ACCOUNT_TIMERFD},
		{"anon_inode:[signalfd]", ACCOUNT_SIGNALFD}};
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (strcmp(target, kinds[i].target) == 0)
			return kinds[i].kind;
	return ACCOUNT_REFUSED;
}

static uint32_t kind_of(const struct account_fd *f, const struct stat *st, const char *target)
{
	if (is_stdio(f))
		return ACCOUNT_STDIO;
	if (strncmp(target, "pipe:[", 6) == 0)
		return ACCOUNT_PIPE;
	if (S_ISSOCK(st->st_mode))
		return ACCOUNT_SOCKET;
	if (S_ISCHR(st->st_mode))
		return kind_of_node(st);
	if (strncmp(target, "anon_inode:", 11) == 0)
		return kind_of_anonymous(target);
	if (S_ISREG(st->st_mode) || S_ISDIR(st->st_mode))
		return kind_of_file(f, st, target);
	return ACCOUNT_REFUSED;
}

static int describe(struct account_fd *f, struct ramet_err *err)
{
	char path[48], target[TARGET_MAX], value[8];
	struct stat st;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", f->fd);
	ssize_t n = readlink(path, target, sizeof(target) - 1);
	int flags = fcntl(f->fd, F_GETFL);
	if (n < 0 || flags < 0 || fstat(f->fd, &st) < 0)
		return 0; /* refused, and the daemon sees why */
	target[n] = '\0';
	f->flags = (uint32_t)flags;
	f->cloexec = fcntl(f->fd, F_GETFD) & FD_CLOEXEC;
	f->mode = st.st_mode;
	f->dev = st.st_dev;
	f->ino = st.st_ino;
	f->kind = kind_of(f, &st, target);
	if (f->kind == ACCOUNT_REFUSED)
		return 0;
	off_t at = S_ISREG(st.st_mode) || S_ISDIR(st.st_mode) ? lseek(f->fd, 0, SEEK_CUR) : 0;
	f->offset = at > 0 ? (uint64_t)at : 0;
	if (f->flags & O_ASYNC)
		fds_refuse(f, "it raises signals (O_ASYNC)");
	else if (S_ISREG(st.st_mode) && fds_info(f->fd, "lock:", value, sizeof(value)))
		fds_refuse(f, "it holds a lock on %.60s", target);
	else if (strncmp(target, "/proc/", 6) == 0)
		fds_refuse(f, "a file of /proc");
	if (f->kind != ACCOUNT_FILE && f->kind != ACCOUNT_NODE)
		return 0;
	struct file *file = account_alloc(sizeof(*file) + (size_t)n + 1);
	if (!file)
		return fds_no_memory(err);
	*file = (struct file){st.st_dev, st.st_ino, (uint64_t)st.st_size};
	memcpy(file->path, target, (size_t)n + 1);
	f->object = file;
	return 0;
}

/* One open file description or two? Flags are the description's, so a change shows through the
 * other. (kcmp(2) is not for functions: see runtime/spawn/syscall_filter.c.) */
static bool is_same(const struct account_fd *a, const struct account_fd *b)
{
	if (a->dev != b->dev || a->ino != b->ino || a->flags != b->flags || a->kind != b->kind ||
		a->offset != b->offset || a->flags & O_PATH)
		return false;
	if (fcntl(a->fd, F_SETFL, a->flags ^ O_NONBLOCK) < 0)
		return false;
	bool same = (uint32_t)fcntl(b->fd, F_GETFL) != b->flags;
	(void)fcntl(a->fd, F_SETFL, a->flags);
	return same;
}

static void find_same(struct fds *fds, uint32_t index)
{
	struct account_fd *f = &fds->items[index];
	f->same = (int32_t)index;
	if (f->kind == ACCOUNT_REFUSED || f->kind == ACCOUNT_STDIO ||
		safepoint_fault_hit("safepoint.same"))
		return;
	for (uint32_t i = 0; i < index; i++)
		if (fds->items[i].same == (int32_t)i && is_same(&fds->items[i], f)) {
			f->same = (int32_t)i;
			return;
		}
}

/* --- files and devices --- */

static int file_save(struct fds *fds, struct account_fd *f, struct ramet_err *err)
{
	(void)fds, (void)f, (void)err;
	return 0; /* described already */
}

static int file_restore(struct fds *fds, struct account_fd *f, struct ramet_err *err)
{
	const struct file *file = f->object;
	struct stat st;
	int flags = (int)(f->flags & ~(uint32_t)(O_CREAT | O_EXCL | O_TRUNC));
	int fd = fds_raise(fds, open(file->path, flags | O_NONBLOCK | O_NOCTTY));
	if (fd < 0 || fstat(fd, &st) < 0)
		return fail(err, RAMET_EREFUSED, errno, "descriptor %d of a clone: open %s", f->fd,
			file->path);
	/* The same file may have grown; another of the same name must at least look like it. */
	bool same = st.st_dev == file->dev && st.st_ino == file->ino;
	if ((st.st_mode & S_IFMT) != (f->mode & S_IFMT) ||
		(S_ISREG(st.st_mode) && !same && (uint64_t)st.st_size != file->size))
		return fail(err, RAMET_EREFUSED, 0,
			"descriptor %d of a clone: %s is not the file that the captured process "
			"had open",
			f->fd, file->path);
	if (f->offset && !safepoint_fault_hit("safepoint.offsets") &&
		lseek(fd, (off_t)f->offset, SEEK_SET) < 0)
		return fds_fail(f, "seek", err);
	return fd;
}

static int stdio_restore(struct fds *fds, struct account_fd *f, struct ramet_err *err)
{
	int fd = fcntl(1, F_DUPFD_CLOEXEC, fds->base);
	return fd < 0 ? fds_fail(f, "duplicate stdout", err) : fd;
}

static const struct fd_kind fd_kind_file = {file_save, file_restore, NULL};
static const struct fd_kind fd_kind_stdio = {file_save, stdio_restore, NULL};

static const struct fd_kind *kind(const struct account_fd *f)
{
	static const struct fd_kind *const kinds[ACCOUNT_KINDS] = {
		[ACCOUNT_FILE] = &fd_kind_file,
		[ACCOUNT_NODE] = &fd_kind_file,
		[ACCOUNT_STDIO] = &fd_kind_stdio,
		[ACCOUNT_PIPE] = &fd_kind_pipe,
		[ACCOUNT_SOCKET] = &fd_kind_socket,
		[ACCOUNT_EVENTFD] = &fd_kind_eventfd,
		[ACCOUNT_EPOLL] = &fd_kind_epoll,
		[ACCOUNT_TIMERFD] = &fd_kind_timerfd,
		[ACCOUNT_SIGNALFD] = &fd_kind_signalfd,
		[ACCOUNT_MEMFD] = &fd_kind_memfd,
	};
	return f->kind < ACCOUNT_KINDS ? kinds[f->kind] : NULL;
}

/* --- saving --- */

/* fn for each open number but those that are not ours to keep; returns how many */
static uint32_t each_open(const int except[2], void (*fn)(void *arg, int fd), void *arg)
{
	char entries[2048];
	uint32_t count = 0;
	int dir = open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (long n; dir >= 0 && (n = syscall(SYS_getdents64, dir, entries, sizeof(entries))) > 0;)
		for (long at = 0; at < n;) {
			const struct dirent64 *e = (const void *)(entries + at);
			at += e->d_reclen;
			int fd = (int)strtol(e->d_name, NULL, 10);
			if (fd <= 2 || fd == dir || fd == except[0] || fd == except[1] ||
				e->d_name[0] == '.')
				continue;
			count++;
			if (fn)
				fn(arg, fd);
		}
	if (dir >= 0)
		close(dir);
	return count;
}

static void take_number(void *arg, int fd)
{
	struct fds *fds = arg;
	fds->items[fds->count++] = (struct account_fd){.fd = fd, .same = (int32_t)fds->count};
}

static unsigned closes(const struct account_fd *f)
{
	return S_ISSOCK(f->mode)		       ? SAFEPOINT_CLOSE_SOCKETS
		: S_ISFIFO(f->mode)		       ? SAFEPOINT_CLOSE_PIPES
		: S_ISREG(f->mode)		       ? SAFEPOINT_CLOSE_FILES
		: S_ISCHR(f->mode) || S_ISBLK(f->mode) ? SAFEPOINT_CLOSE_DEVICES
						       : SAFEPOINT_CLOSE_OTHER;
}

int fds_save(struct fds *fds, const int except[2], unsigned close, struct ramet_err *err)
{
	int rc = 0;
	*fds = (struct fds){.base = 4};
	uint32_t count = each_open(except, NULL, NULL);
	if (count == 0)
		return 0;
	fds->items = account_alloc(count * sizeof(*fds->items));
	if (!fds->items)
		return fds_no_memory(err);
	each_open(except, take_number, fds);
	for (uint32_t i = 0; i < count; i++)
		if (fds->items[i].fd >= fds->base)
			fds->base = fds->items[i].fd + 1;
	for (uint32_t i = 0; rc == 0 && i < count; i++)
		rc = describe(&fds->items[i], err);
	for (uint32_t i = 0; i < count; i++)
		find_same(fds, i);
	for (uint32_t i = 0; rc == 0 && i < count; i++) {
		struct account_fd *f = &fds->items[i];
		const struct fd_kind *ops = kind(f);
		if (ops && f->same == (int32_t)i)
			rc = ops->save(fds, f, err);
	}
	for (uint32_t i = 0; i < count; i++) {
		struct account_fd *f = &fds->items[i];
		if (fds->items[f->same].kind == ACCOUNT_REFUSED && f->same != (int32_t)i)
			fds_refuse(f, "%s", fds->items[f->same].why);
		if (f->kind == ACCOUNT_REFUSED && close & closes(f) &&
			!safepoint_fault_hit("safepoint.close"))
			f->kind = ACCOUNT_CLOSED;
	}
	return rc;
}

/* --- restoring --- */

/* at its number, with its flags; fd is used up */
static int place(const struct account_fd *f, int fd, struct ramet_err *err)
{
	const uint32_t settable = O_APPEND | O_NONBLOCK | O_DIRECT | O_NOATIME;
	int rc = 0;
	if (!(f->flags & O_PATH) && f->kind != ACCOUNT_STDIO &&
		fcntl(fd, F_SETFL, f->flags & settable) < 0)
		rc = fds_fail(f, "set its flags", err);
	if (rc == 0 && dup3(fd, f->fd, f->cloexec ? O_CLOEXEC : 0) < 0)
		rc = fds_fail(f, "give it its number", err);
	close(fd);
	return rc;
}

static int restore_one(struct fds *fds, uint32_t index, struct ramet_err *err)
{
	struct account_fd *f = &fds->items[index];
	const struct fd_kind *ops = kind(f);
	if (!ops)
		return 0;
	int fd = f->same == (int32_t)index
		? ops->restore(fds, f, err)
		: fcntl(fds->items[f->same].fd, F_DUPFD_CLOEXEC, fds->base);
	if (fd < 0)
		return f->same == (int32_t)index ? fd : fds_fail(f, "duplicate it", err);
	return place(f, fd, err);
}

int fds_restore(struct fds *fds, struct ramet_err *err)
{
	int rc = 0;
	if (safepoint_fault_hit("safepoint.fds"))
		return 0;
	for (uint32_t i = 0; rc == 0 && i < fds->count; i++)
		rc = restore_one(fds, i, err);
	for (uint32_t i = 0; rc == 0 && i < fds->count; i++) {
		const struct fd_kind *ops = kind(&fds->items[i]);
		if (ops && ops->finish && fds->items[i].same == (int32_t)i)
			rc = ops->finish(fds, &fds->items[i], err);
	}
	return rc;
}
