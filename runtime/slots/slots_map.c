/* The memory of a lease: making it, mapping it. */
#include "runtime/slots/slots.h"

#include "base/err.h"
#include "runtime/slots/layout.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define SMALL ((size_t)SLOTS_BYTES * (1 + SLOTS_COUNT))
#define BULK (2 * (size_t)SLOTS_COUNT * SLOTS_BULK_STRIDE)
#define WHOLE (SLOTS_BULK_AT + BULK)
#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

static int map_small(int fd, struct slots *ret, struct ramet_err *err)
{
	void *at = mmap(NULL, SMALL, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (at == MAP_FAILED)
		return err_errno(err, RAMET_ENOMEM, "map the slots of a lease");
	*ret = (struct slots){
		.header = at, .slot = (void *)((unsigned char *)at + SLOTS_BYTES), .fd = fd};
	return 0;
}

int slots_create(bool once, struct slots *ret, struct ramet_err *err)
{
	int fd = memfd_create("ramet-slots", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return err_errno(err, RAMET_EIO, "make the memory of a lease");
	int rc = 0;
	if (ftruncate(fd, (off_t)WHOLE) < 0 || fcntl(fd, F_ADD_SEALS, SEALS) < 0)
		rc = err_errno(err, RAMET_EIO, "size the memory of a lease");
	if (rc == 0)
		rc = map_small(fd, ret, err);
	if (rc < 0) {
		close(fd);
		return rc;
	}
	ret->header->magic = SLOTS_MAGIC;
	ret->header->layout = SLOTS_LAYOUT;
	ret->header->once = once;
	ret->once = once;
	return 0;
}

/* written, a page comes alone; read, fifteen others come with it, which go again at the end */
static void touch(_Atomic uint32_t *word)
{
	(void)atomic_fetch_or(word, 0);
}

int slots_adopt(int fd, int only, struct slots *ret, struct ramet_err *err)
{
	struct slots slots;
	int rc = map_small(fd, &slots, err);
	if (rc < 0)
		return rc;
	if (only >= 0) {
		touch(&slots.header->ready);
		touch(&slots.slot[only].word);
	}
	if (slots.header->magic != SLOTS_MAGIC || slots.header->layout != SLOTS_LAYOUT) {
		munmap(slots.header, SMALL);
		return err_set(err, RAMET_EPROTO,
			"the memory of a lease has another layout than %u", SLOTS_LAYOUT);
	}
	slots.once = slots.header->once != 0;
	*ret = slots;
	return 0;
}

int slots_open(int fd, struct slots *ret, struct ramet_err *err)
{
	struct stat st;
	int seals = fcntl(fd, F_GET_SEALS);
	if (seals < 0 || (seals & SEALS) != SEALS || fstat(fd, &st) < 0 ||
		st.st_size != (off_t)WHOLE)
		return err_set(err, RAMET_EPROTO, "this is not the memory of a lease");
	return slots_adopt(fd, -1, ret, err);
}

int slots_map_bulk(struct slots *slots)
{
	if (slots->bulk)
		return 0;
	void *at = mmap(NULL, BULK, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, slots->fd,
		SLOTS_BULK_AT);
	if (at == MAP_FAILED)
		return RAMET_ENOMEM;
	slots->bulk = at;
	return 0;
}

void slots_close(struct slots *slots)
{
	if (!slots->header)
		return;
	munmap(slots->header, SMALL);
	if (slots->bulk)
		munmap(slots->bulk, BULK);
	close(slots->fd);
	*slots = (struct slots){.fd = -1};
}
