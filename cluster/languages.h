/* The languages that functions may be in, and what runs them. */
#ifndef CLUSTER_LANGUAGES_H
#define CLUSTER_LANGUAGES_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>

struct language {
	const char *name;
	bool is_python; /* its host is an interpreter that an app may choose; else ramet-host */
	bool is_own; /* it is the engine of a host: of the interpreter, or of ramet-host; in the
			other's processes, and where it is not, it is a shared object */
	bool compiles; /* its files are compiled when they are deployed: ramet-NAME does that */
	bool resets; /* what a call has changed can be changed back */
	bool warms; /* what is called often is compiled, which takes a while */
	bool isolates; /* its functions ask nothing of the kernel but by their engine, and several
			  may be called in one instance */
};

const struct language *languages_find(const char *name); /* NULL: there is no such language */
/* languages_names - for people: "python, native and lua" */
void languages_names(char *dst, size_t cap);
/* languages_engine - the path of its shared object, for a process of an app in the language own; ""
 * where it is that process's own engine. RAMET_ENOTSUP: this build has none */
int languages_engine(const struct language *language, const struct language *own, char *dst,
	size_t cap, struct ramet_err *err);

#endif
