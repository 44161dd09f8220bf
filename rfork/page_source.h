/* Where the pages come from that an image lacks: one read interface over every kind of source (a
 * peer's memory, see page_source_peer.h; a message to a peer; a file), so that the pager can go on
 * to the next when one fails. Everything here happens on the pager's loop thread. */
#ifndef RFORK_PAGE_SOURCE_H
#define RFORK_PAGE_SOURCE_H

#include "base/list.h"

#include <stdbool.h>
#include <stdint.h>

#define PAGE_READ_MAX 64 /* pages of one read */
#define PAGE_READ_NO_PACK UINT64_MAX

struct page_source;

/* One read: the bytes of pages[0 … count) to dst, one after the other. It belongs to the source
 * from read() until done(). */
struct page_read {
	uint32_t pages[PAGE_READ_MAX]; /* of the image; in any order; see image_bytes() */
	unsigned count;
	bool urgent; /* somebody is stopped until it is done */
	/* the same pages are at this index of the source's pack; PAGE_READ_NO_PACK: not known */
	uint64_t pack_first;
	unsigned char *dst; /* in the pager's staging memory */

	/* done - exactly once, never from within read(): 0, or why not. EIO, ENOMEM, EAGAIN,
	 * ETIMEOUT may pass; after any other error the source is not used again. */
	void (*done)(struct page_read *read, int status);

	/* the source's own */
	struct page_source *source;
	struct list link;
	unsigned posted; /* pages asked for so far */
	unsigned pending; /* operations in flight */
	bool spins; /* the transport polls for it */
	int status; /* the first failure */
	uint64_t deadline_ns;
};

struct page_source_ops {
	const char *name;

	/* read - begin; does not block. 0, and done() will be called; or an error, and it won't. */
	int (*read)(struct page_source *source, struct page_read *read);

	/* ready - whether it can do a read at once; one that cannot yet (it connects) is asked only
	 * when no other has served before. NULL: always. */
	bool (*ready)(const struct page_source *source);

	/* destroy - the end. When the pager itself ends, reads may be in flight: they are done with
	 * RAMET_ECLOSED from within. */
	void (*destroy)(struct page_source *source);
};

/* Embedded first by every kind. */
struct page_source {
	const struct page_source_ops *ops;
	const char *name; /* for messages: the peer's address; lives as long as the source */
	/* a copy that may go at any time: RAMET_EREVOKED from it means that this copy has gone, not
	 * that the seed is revoked */
	bool copy;
	unsigned rank; /* lower ones are asked first */
	uint64_t pack_pages; /* pages of its pack; 0: it has none */
};

#endif
