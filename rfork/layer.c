/* What images of seeds with the same base share: see layer.h. */
#include "rfork/layer.h"

#include "base/err.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static void layer_destroy(struct layer *layer)
{
	if (!layer)
		return;
	close_keep_errno(layer->fd);
	free(layer->pages);
	free(layer->present);
	free(layer);
}
DEFINE_CLEANUP(struct layer, layer_destroy)

static int layer_new(const uint8_t *id, uint64_t epoch, uint64_t npages, uint64_t file_bytes,
	struct layer **ret_layer, struct ramet_err *err)
{
	AUTO(layer_destroy) struct layer *layer = calloc(1, sizeof(*layer));
	if (!layer)
		return err_nomem(err);
	layer->fd = -1;
	atomic_init(&layer->refs, 1);
	memcpy(layer->id, id, sizeof(layer->id));
	layer->epoch = epoch;
	layer->npages = npages;
	layer->file_bytes = file_bytes;
	layer->pages = calloc(npages + 1, sizeof(*layer->pages));
	layer->present = calloc(npages / 64 + 1, sizeof(*layer->present));
	if (!layer->pages || !layer->present)
		return err_nomem(err);
	*ret_layer = steal_ptr(&layer);
	return 0;
}

/* of page k of an image piece */
static struct layer_page page_said(
	const struct descriptor_view *view, const struct seed_piece *piece, uint64_t k)
{
	const uint64_t page = piece->image_page + k;
	return (struct layer_page){
		.sum = view->sums[page],
		.place = 1 + piece->offset / RFORK_PAGE + k,
		.zero = view->zeros[page / 64] >> (page % 64) & 1,
	};
}

int layer_of(
	const struct descriptor_view *base, int fd, struct layer **ret_layer, struct ramet_err *err)
{
	const struct descriptor_header *h = base->header;
	AUTO(layer_destroy) struct layer *layer = NULL;
	if (h->base_pages > 0 || h->sums_offset > 0)
		return err_set(err, RAMET_ENOTSUP, "a seed that is %s cannot be a base",
			h->base_pages > 0 ? "layered itself" : "so large");
	int rc = layer_new(h->seed_id, h->epoch, h->image_pages, h->image_file_bytes, &layer, err);
	if (rc < 0)
		return rc;
	layer->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (layer->fd < 0)
		return err_errno(err, RAMET_EIO, "duplicate the descriptor of an image");
	for (uint32_t i = 0; i < base->npieces; i++) {
		const struct seed_piece *p = &base->pieces[i];
		for (uint64_t k = 0; p->kind == PIECE_IMAGE && k < p->pages; k++) {
			const uint64_t page = p->image_page + k;
			layer->pages[page] = page_said(base, p, k);
			layer_mark(layer, page);
		}
	}
	*ret_layer = steal_ptr(&layer);
	return 0;
}

int layer_create(
	const struct descriptor_view *seed, struct layer **ret_layer, struct ramet_err *err)
{
	const struct descriptor_header *h = seed->header;
	AUTO(layer_destroy) struct layer *layer = NULL;
	char name[32];
	int rc = layer_new(
		h->base_id, h->base_epoch, h->base_pages, h->base_file_bytes, &layer, err);
	if (rc < 0)
		return rc;
	/* named as images are: libramet-host knows by that what it must not show again */
	snprintf(name, sizeof(name), "ramet-seed-%02x%02x%02x%02x", h->base_id[0], h->base_id[1],
		h->base_id[2], h->base_id[3]);
	layer->fd = memfd_create(name, MFD_ALLOW_SEALING | MFD_CLOEXEC);
	if (layer->fd < 0)
		return err_errno(err, RAMET_EIO, "memfd_create %s", name);
	if (ftruncate(layer->fd, (off_t)h->base_file_bytes) < 0 ||
		fcntl(layer->fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) < 0)
		return err_errno(err, RAMET_EIO, "size %s to %llu bytes", name,
			(unsigned long long)h->base_file_bytes);
	*ret_layer = steal_ptr(&layer);
	return 0;
}

bool layer_matches(const struct layer *layer, const struct descriptor_view *seed)
{
	const struct descriptor_header *h = seed->header;
	return h->base_pages == layer->npages && h->base_epoch == layer->epoch &&
		h->base_file_bytes == layer->file_bytes &&
		memcmp(h->base_id, layer->id, sizeof(layer->id)) == 0;
}

/* What the seed says of a page of its base; place 0: nothing. at: its piece; pages are asked for in
 * order, as descriptors have them. */
static struct layer_page said_of(const struct descriptor_view *seed, uint64_t page, uint32_t *at)
{
	for (; *at < seed->npieces; (*at)++) {
		const struct seed_piece *p = &seed->pieces[*at];
		if (!(p->flags & PIECE_BASE) || p->file + p->pages <= page)
			continue;
		if (p->file > page)
			break;
		return page_said(seed, p, page - p->file);
	}
	return (struct layer_page){0};
}

/* Whether it says nothing else than earlier descriptors, and puts what they did not name between
 * the places of the pages before and behind: else it would overwrite theirs. */
static bool pages_agree(const struct layer *layer, const struct descriptor_view *seed)
{
	uint32_t at = 0;
	uint64_t last = 0;
	for (uint64_t page = 0; page < layer->npages; page++) {
		const struct layer_page *known = &layer->pages[page];
		const struct layer_page said = said_of(seed, page, &at);
		const uint64_t place = known->place ? known->place : said.place;
		if (known->place && said.place &&
			(known->place != said.place || known->sum != said.sum ||
				known->zero != said.zero))
			return false;
		if (place && place <= last)
			return false;
		last = place ? place : last;
	}
	return true;
}

int layer_join(struct layer *layer, const struct descriptor_view *seed, struct ramet_err *err)
{
	if (!layer_matches(layer, seed) || !pages_agree(layer, seed))
		return err_set(err, RAMET_EPROTO,
			"descriptor: it does not agree with others about its base");
	for (uint32_t i = 0; i < seed->npieces; i++) {
		const struct seed_piece *p = &seed->pieces[i];
		for (uint64_t k = 0; (p->flags & PIECE_BASE) && k < p->pages; k++) {
			struct layer_page *known = &layer->pages[p->file + k];
			if (!known->place) /* else it may be read by a capture now */
				*known = page_said(seed, p, k);
		}
	}
	return 0;
}

struct layer *layer_get(struct layer *layer)
{
	atomic_fetch_add_explicit(&layer->refs, 1, memory_order_relaxed);
	return layer;
}

void layer_put(struct layer *layer)
{
	if (layer && atomic_fetch_sub_explicit(&layer->refs, 1, memory_order_acq_rel) == 1)
		layer_destroy(layer);
}
