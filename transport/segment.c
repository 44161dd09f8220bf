/* Domains and segments: their lives, which are the same for every provider. Checking what a peer
 * asks for is the provider's (segment_table.c, or the device). */
#include "transport/core.h"
#include "transport/provider.h"

#include <stdatomic.h>
#include <stdlib.h>

static atomic_uint_fast64_t domain_ids;

int transport_domain_create(
	struct transport *t, struct transport_domain **ret_domain, struct ramet_err *err)
{
	struct transport_domain *domain = calloc(1, sizeof(*domain));
	if (!domain)
		return err_nomem(err);
	domain->transport = t;
	domain->id = atomic_fetch_add(&domain_ids, 1) + 1;
	domain->refs = 1;
	list_append(&t->domains, &domain->link);
	*ret_domain = domain;
	return 0;
}

void transport_domain_destroy(struct transport_domain *domain)
{
	if (!domain || --domain->refs > 0)
		return;
	list_remove(&domain->link);
	free(domain);
}

int transport_segment_add(struct transport_domain *domain, void *addr, size_t len, unsigned flags,
	struct transport_segment **ret_segment, struct ramet_err *err)
{
	const unsigned both = TRANSPORT_SEGMENT_WRITE | TRANSPORT_SEGMENT_LOCAL;
	if (!addr || len == 0 || (flags & ~both) || flags == both)
		return err_set(
			err, RAMET_EINVAL, "add a segment of %zu bytes, flags %#x", len, flags);
	struct transport *t = domain->transport;
	if (t->closing)
		return err_set(err, RAMET_ECLOSED, "add a segment: the transport is closing");

	struct transport_segment *segment = calloc(1, sizeof(*segment));
	if (!segment)
		return err_nomem(err);
	segment->domain = domain;
	segment->addr = addr;
	segment->len = len;
	segment->flags = flags;
	int rc = t->ops->segment_add(segment, err);
	if (rc < 0) {
		free(segment);
		return rc;
	}
	domain->refs++;
	list_append(&t->segments, &segment->link);
	*ret_segment = segment;
	return 0;
}

struct segment_ref transport_segment_ref(const struct transport_segment *segment, uint64_t offset)
{
	return (struct segment_ref){.id = segment->id, .key = segment->key, .offset = offset};
}

/* when nobody touches the memory any more its owner is told, from the loop */
static void segment_check_drained(struct transport_segment *segment)
{
	if (!segment->removed || !segment->unreachable || segment->users > 0)
		return;
	struct transport *t = segment->domain->transport;
	list_remove(&segment->link);
	list_append(&t->drained, &segment->link);
	transport_kick(t);
}

void transport_segment_remove(
	struct transport_segment *segment, void (*on_drained)(void *user), void *user)
{
	if (segment->removed)
		return;
	segment->removed = true;
	segment->on_drained = on_drained;
	segment->user = user;
	segment->domain->transport->ops->segment_remove(segment);
}

void transport_segment_unreachable(struct transport_segment *segment)
{
	segment->unreachable = true;
	segment_check_drained(segment);
}

void transport_segment_unuse(struct transport_segment *segment)
{
	segment->users--;
	segment_check_drained(segment);
}

void transport_segments_tell_drained(struct transport *t)
{
	struct list *first;
	while ((first = list_pop(&t->drained)) != NULL) {
		struct transport_segment *segment =
			list_entry(first, struct transport_segment, link);
		if (t->ops->segment_release)
			t->ops->segment_release(segment);
		if (segment->on_drained)
			segment->on_drained(segment->user);
		transport_domain_destroy(segment->domain);
		free(segment);
	}
}
