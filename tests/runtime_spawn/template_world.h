/* What the tests of templates share: a host that was captured in its sandbox, its seed, a template
 * of it in ramet-spawn, and clones. */
#ifndef TESTS_RUNTIME_SPAWN_TEMPLATE_WORLD_H
#define TESTS_RUNTIME_SPAWN_TEMPLATE_WORLD_H

#include "rfork/image.h"
#include "tests/runtime_spawn/fixture.h"

#include <stdbool.h>
#include <stdint.h>

#define TMPL 7

struct world {
	struct fixture f;
	struct host host;
	struct image *image;
	bool built;
	struct ramet_err built_err;
};

struct world_options {
	const char *const *argv; /* of the host; NULL: counter_host */
	bool uffd, record;
	const char *faults; /* of ramet-spawn */
};
/* world_open - false: the test is to return (a failure or skip was recorded) */
bool world_open(struct world *w, const struct world_options *options);
void world_close(struct world *w);
/* world_build - another template, or one again */
bool world_build(struct world *w, uint64_t tmpl, bool uffd, bool record);
/* world_build_with - with another path for the first file: what came of it, or RAMET_EINTERNAL */
int world_build_with(struct world *w, uint64_t tmpl, const char *path);

/* clone_begin - ask for one; host_started() waits for it. populate: as in struct spawn_clone */
bool clone_begin(struct world *w, struct host *h, uint64_t tmpl);
bool clone_begin_populated(
	struct world *w, struct host *h, const uint64_t (*populate)[2], unsigned npopulate);
/* clone_finish - it ends when its control socket does; closes everything */
void clone_finish(struct host *h);

#endif
