/* One call of a handler, from its bytes to its result. What a clone writes to costs it a page each,
 * so the way of a small call is here, and ramet_host/engine.py has what not every call needs. Needs
 * the GIL. */
#ifndef BINDINGS_PYTHON_PYTHON_CALLS_H
#define BINDINGS_PYTHON_PYTHON_CALLS_H

#include <Python.h>

#include "ramet/engine.h"

#include <stdbool.h>

struct python_calls {
	PyObject *handlers; /* list */
	PyObject *context; /* type of context objects */
	PyObject *read, *unread, *listened, *failed, *outcome, *end_child; /* of engine.py */
	bool running; /* a handler is: its deadline may interrupt it */
	bool child; /* the application has forked this process */
};

/* python_calls_init - from the module ramet_host.engine. 0, or -1 with an exception */
int python_calls_init(struct python_calls *calls, PyObject *module);
/* python_calls_run - None, which the handler has returned; (True, bytes, whether they are raw); or
 * (False,) and a failure (ramet_host/failure.py). NULL: with an exception, of the engine's own */
PyObject *python_calls_run(struct python_calls *calls, const struct ramet_engine_call *call);

#endif
