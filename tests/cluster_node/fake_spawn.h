/* A ramet-spawn that makes no processes: the functions of runtime/spawn/spawn_client.h and
 *capture_seed(), replaced for tests. Its hosts and clones live on the test's loop, speak
 *runtime/host_proto.h, and do what the name of the function says:
 *
 *	echo     returns its input            fail     an error as of a function that raised
 *	hang     never answers                polite   answers EDEADLINE at its deadline
 *	crash    a crash message, signal 11   die      killed by SIGKILL
 *	leave    exits with status 3          garbage  bytes that are no message
 *	other    a result of another call     big      a larger output than it may have
 *	print    writes a line, then as echo  claim    an error that only the system may give
 *	hold     answers when fake_release() is called
 *	noise    a result with some bytes wrong, other ones each time */
#ifndef TESTS_CLUSTER_B_FAKE_SPAWN_H
#define TESTS_CLUSTER_B_FAKE_SPAWN_H

#include "base/loop.h"
#include "runtime/spawn/spawn_client.h"

#include <stdbool.h>
#include <stdint.h>

#define FAKE_PAGES 96 /* of an image */

/* How one node's fake behaves, and what it has been asked. Tests read and write it at will. */
struct fake {
	struct loop *loop;
	struct spawn_caps caps;
	/* behaviour */
	bool no_ready; /* hosts say nothing */
	bool no_started; /* clones say nothing */
	bool fail_load; /* hosts answer load with an error */
	bool refuse_capture; /* hosts answer capture with an error */
	bool unsuitable; /* captures are refused, up to the first load, which is, too */
	bool bad_capture; /* capture_seed() fails */
	bool fail_template, fail_clone;
	uint64_t class_id; /* of the seeds made; 0: what capture was asked for */
	/* what happened */
	unsigned hosts, templates, clones, drops, kills, exits, uffd_templates;
	unsigned alive, max_alive, loads, samples;
	unsigned taken; /* weight of events, as instances were told */
	uint64_t captured; /* the last instance that was asked for a capture */
};

/* fake_create - for spawn_client_stop(); fake: outlives it */
struct spawn_client *fake_create(struct fake *fake);
void fake_release(struct fake *fake); /* every call of `hold` answers */
unsigned fake_holding(const struct fake *fake); /* calls of `hold` that wait for it */
bool fake_kill(struct fake *fake, uint64_t inst); /* as if it was killed from outside */

#endif
