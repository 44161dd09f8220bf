/* Epochs of versions: how often one was revoked, as far as this node knows. Seeds that it makes are
 * of the current one; who asks for one of an older epoch that is not here is told that it was
 * revoked. The table is bounded; a version that was forgotten begins anew, and is then told apart
 * by the seeds' random ids. */
#include "cluster/seeds_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EPOCHS_MAX 4096u

static struct seed_epoch *find(struct seeds *seeds, const char *version)
{
	list_for_each (e, &seeds->epochs, struct seed_epoch, link)
		if (strcmp(e->version, version) == 0)
			return e;
	return NULL;
}

uint64_t seeds_epoch(struct seeds *seeds, const char *version)
{
	const struct seed_epoch *e = find(seeds, version);
	return e ? e->epoch : 1;
}

static struct seed_epoch *make(struct seeds *seeds, const char *version)
{
	struct seed_epoch *e;
	if (seeds->nepochs == EPOCHS_MAX) {
		e = list_entry(seeds->epochs.prev, struct seed_epoch, link);
		list_remove(&e->link);
	} else {
		e = malloc(sizeof(*e));
		if (!e)
			return NULL;
		seeds->nepochs++;
	}
	*e = (struct seed_epoch){.epoch = 1};
	snprintf(e->version, sizeof(e->version), "%s", version);
	list_init(&e->link);
	return e;
}

void seeds_epoch_raise(struct seeds *seeds, const char *version, uint64_t epoch)
{
	struct seed_epoch *e = find(seeds, version);
	if (!e)
		e = make(seeds, version);
	if (!e)
		return; /* no memory: ids tell seeds apart */
	if (e->epoch < epoch)
		e->epoch = epoch;
	list_remove(&e->link);
	list_insert(&seeds->epochs, &e->link);
}
