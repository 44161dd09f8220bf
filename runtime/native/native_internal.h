/* One call of a native function, between the engine and the functions that handlers call. */
#ifndef RUNTIME_NATIVE_NATIVE_INTERNAL_H
#define RUNTIME_NATIVE_NATIVE_INTERNAL_H

#include "ramet/engine.h"
#include "ramet/function.h"

#include <signal.h>
#include <stddef.h>

#define NATIVE_TYPE_MAX 64
#define NATIVE_SMALL 512
#define NATIVE_MESSAGE_MAX 4096

struct ramet_invocation {
	const struct ramet_engine_call *call;
	const struct ramet_engine_secret *secrets; /* the host's */
	unsigned nsecrets;
	void *output; /* malloc'ed, kept until done(), or the caller's room, or small */
	bool borrowed; /* not malloc'ed */
	size_t len;
	bool binary;
	int code; /* of an error of ours; 0: none */
	bool failed; /* ramet_fail() was called */
	volatile sig_atomic_t cancelled;
	_Alignas(max_align_t) unsigned char small[NATIVE_SMALL]; /* an output that needs no more:
					      malloc() has pages of its own, which a clone would
					      have to copy */
	char type[NATIVE_TYPE_MAX];
	char message[NATIVE_MESSAGE_MAX];
};

/* native_emit_forked - in a child of the host, which has nobody to tell anything */
void native_emit_forked(void);

#endif
