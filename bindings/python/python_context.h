/* What ramet_host.context.Context has of the call, as it came: made at each call, in one piece, and
 * turned into Python's objects when it is looked at. Needs the GIL. */
#ifndef BINDINGS_PYTHON_PYTHON_CONTEXT_H
#define BINDINGS_PYTHON_PYTHON_CONTEXT_H

#include <Python.h>

#include "ramet/engine.h"

/* python_context_add - the type CallContext of the module. 0, or -1 with an exception */
int python_context_add(PyObject *module);
/* python_context_new - an object of a class derived from it; context is copied, the name of the
 * function must live on. NULL: with an exception */
PyObject *python_context_new(PyObject *type, const struct ramet_engine_context *context);

#endif
