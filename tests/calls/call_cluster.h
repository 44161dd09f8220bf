/* A cluster of daemons on this machine, by `ramet up`, or one that stands already, of whose node 1
 * RAMET_CALLS_SOCKET in the environment is the socket; and calls in it that must end in a certain
 * way. */
#ifndef TESTS_CALLS_CALL_CLUSTER_H
#define TESTS_CALLS_CALL_CLUSTER_H

#include "ramet/ramet.h"

#include <stdbool.h>
#include <sys/types.h>

/* Each suite that says so is built twice: its calls go to the node of the client, or to another.
 */
#ifndef CALL_NODE
#define CALL_NODE 0 /* of calls that name none; 0: the first one may choose */
#endif
#define CALL_RUNS_ON (CALL_NODE ? CALL_NODE : 1)
#define CALL_NODES (CALL_NODE ? CALL_NODE : 1) /* that the cluster needs */

struct call_cluster {
	char dir[64], socket[96];
	bool up;
	struct ramet *ramet; /* of node 1 */
	unsigned fds; /* of this process, before */
};
/* false, after a failed check */
int call_cluster_open(struct call_cluster *c, unsigned nodes);
/* also checks that `ramet down` finds everything in order */
/* call_cluster_down - ends it already */
void call_cluster_down(struct call_cluster *c);
void call_cluster_close(struct call_cluster *c);

/* deploys a function of functions.c, or of functions.py; options may be NULL, name and handler are
 * set */
int call_deploy(struct call_cluster *c, const char *lang, const char *function,
	const struct ramet_deploy_options *options);
/* calls it with "0" until calls go through a lease; the instance's process, or 0 after a failed
 * check */
pid_t call_lease(struct ramet *ramet, const char *function);
/* whether a result came through a lease: such calls have ids of their own */
bool call_was_leased(const struct ramet_result *result);
/* one call that must end with this code (0: well); its result, to be freed, or NULL */
struct ramet_result *call_expect(
	struct ramet *ramet, const char *function, const char *json, int code);
/* the default ones, for CALL_NODE */
struct ramet_call_options call_there(void);
/* options: NULL: call_there() */
struct ramet_call *call_begin(struct ramet *ramet, const char *function, const char *json,
	const struct ramet_call_options *options);
/* waits for it and frees it; it must end with this code */
struct ramet_result *call_end(struct ramet_call *call, int code);

#endif
