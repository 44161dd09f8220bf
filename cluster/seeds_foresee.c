/* The files of a seed are compared by content on every node that forks it, and hashing an
 * interpreter's libraries for the first time takes longer than all the rest of a first remote fork.
 * So a node that has made a seed names its files to the others (seed.files), and these hash them in
 * the background: only the cache of base/hash.h knows the outcome. */
#include "cluster/seeds_internal.h"

#include "base/cancel.h"
#include "base/cleanup.h"
#include "base/hash.h"
#include "cluster/bus.h"
#include "cluster/members.h"
#include "cluster/node.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILES_MAX 4096
#define PATH_CAP 4096

struct foresight {
	struct work work;
	struct node *node;
	uint32_t count;
	char *paths[];
};

/* --- telling --- */

static void pack_files(const struct descriptor_view *desc, struct buf *b)
{
	wire_map(b, 1);
	wire_key(b, "files");
	wire_array(b, desc->nfiles);
	for (uint32_t i = 0; i < desc->nfiles; i++)
		wire_str(b, descriptor_string(desc, desc->files[i].path));
}

void seed_foretell(const struct seed *seed)
{
	const struct node *node = seed->seeds->node;
	const struct descriptor_view *desc = &seed->image->desc;
	for (unsigned i = 0; node->members && i < members_count(node->members); i++) {
		const struct member *member = members_at(node->members, i);
		CLEANUP(buf_fini) struct buf b = {0};
		if (!member->alive || desc->nfiles > FILES_MAX)
			continue;
		pack_files(desc, &b);
		if (wire_end(&b, NULL) == 0)
			bus_notify(node->bus, member->info.node, "seed.files", &b);
	}
}

/* --- hearing --- */

static void foresight_free(struct foresight *f)
{
	for (uint32_t i = 0; i < f->count; i++)
		free(f->paths[i]);
	free(f);
}

/* on a worker */
static void hash_all(struct work *work)
{
	struct foresight *f = container_of(work, struct foresight, work);
	for (uint32_t i = 0; i < f->count && !cancel_asked(); i++) {
		struct sha256 sha;
		struct stat st;
		auto_close int fd = open(f->paths[i], O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
		if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
			(void)sha256_fd(fd, &sha, NULL); /* who needs it finds out itself */
	}
}

static void hashed(struct work *work)
{
	struct foresight *f = container_of(work, struct foresight, work);
	if (f->node->seeds) /* gone before its workers are */
		f->node->seeds->foresees = false;
	foresight_free(f);
}

static int read_paths(const struct seeds *seeds, const struct wire_value *array, uint32_t count,
	struct foresight *f, struct ramet_err *err)
{
	for (uint32_t i = 0; i < count; i++) {
		char inside[PATH_CAP];
		char path[PATH_CAP];
		const char *text = NULL;
		size_t len = 0;
		int rc = wire_as_span(wire_at(array, i), &text, &len, err);
		if (rc == 0 && (len == 0 || len >= sizeof(inside) || memchr(text, 0, len)))
			rc = err_set(err, RAMET_EPROTO, "seed.files: file %u has no path", i);
		if (rc < 0)
			return rc;
		memcpy(inside, text, len);
		inside[len] = '\0';
		rc = spawn_path_outside(seeds->node->spawn, inside, path, sizeof(path), err);
		if (rc < 0)
			return rc;
		f->paths[f->count] = strdup(path);
		if (!f->paths[f->count])
			return err_nomem(err);
		f->count++;
	}
	return 0;
}

void seeds_on_files(struct seeds *seeds, struct bus_request *request, const struct wire_value *body)
{
	struct ramet_err err = {0};
	const struct wire_value *array = NULL;
	uint32_t count = 0;
	struct foresight *f = NULL;
	int rc = wire_get_array(body, "files", &array, &count, &err);
	if (rc == 0 && count > FILES_MAX)
		rc = err_set(&err, RAMET_EPROTO, "seed.files: %u files", count);
	if (rc == 0) {
		f = calloc(1, sizeof(*f) + count * sizeof(f->paths[0]));
		rc = f ? read_paths(seeds, array, count, f, &err) : err_nomem(&err);
	}
	/* one at a time; what is left out is hashed when it is needed */
	if (rc == 0 && !seeds->foresees) {
		seeds->foresees = true;
		f->node = seeds->node;
		f->work.run = hash_all;
		f->work.done = hashed;
		workers_submit(seeds->node->background, &f->work);
		f = NULL;
	}
	if (f)
		foresight_free(f);
	if (rc == 0)
		bus_reply(request, NULL);
	else
		bus_reply_err(request, &err);
}
