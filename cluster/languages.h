/* The languages that functions may be in, and what runs them. */
#ifndef CLUSTER_LANGUAGES_H
#define CLUSTER_LANGUAGES_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>

struct language {
	const char *name;
	bool is_python; /* its host is an interpreter that an app may choose; else ramet-host */
	bool is_own; /* its engine is the host's own; else a shared object, which a build may lack
		      */
	bool compiles; /* its files are compiled when they are deployed: ramet-NAME does that */
	bool resets; /* what a call has changed can be changed back */
};

const struct language *languages_find(const char *name); /* NULL: there is no such language */
const char *languages_all(void); /* their names, for people */
/* languages_engine - the path of its shared object, "" where it is the host's own. RAMET_ENOTSUP:
 * this build has none */
int languages_engine(const struct language *language, char *dst, size_t cap, struct ramet_err *err);

#endif
