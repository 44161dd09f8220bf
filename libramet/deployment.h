/* All that one deployment says, between reading it (deploy.c) and sending it (deployment_pack.c).
 */
#ifndef LIBRAMET_DEPLOYMENT_H
#define LIBRAMET_DEPLOYMENT_H

#include "base/wire.h"
#include "cluster/client_proto.h"
#include "libramet/app_config.h"
#include "libramet/files.h"
#include "libramet/samples.h"

#include <stdint.h>

struct deployed_function {
	char name[CLIENT_NAME_MAX + 1];
	char handler[CLIENT_PATH_MAX + 160]; /* "FILE:SYMBOL" */
	const char *lang; /* of the config, or static */
};

struct deployment {
	struct app_config config; /* with the options put over it */
	struct files files;
	struct samples samples;
	struct deployed_function *functions;
	const char *lang; /* of the process: Python, if any function is, else that of the first */
	size_t nfunctions;
	uint32_t node;
};

#define DEPLOYMENT_PAIRS 21
/* deployment_pack - the pairs of the request; a pack function of stream_open() */
void deployment_pack(struct buf *b, const void *deployment);

#endif
