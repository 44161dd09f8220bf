/* Failures of the application and of the engine, from Python's to the host's. */
#ifndef BINDINGS_PYTHON_ERROR_H
#define BINDINGS_PYTHON_ERROR_H

#include <Python.h>

#include "ramet/engine.h"

struct ramet_err;

/* python_error - takes the exception at hand: "what: its message" as RAMET_EINTERNAL. engine.py
 * catches what applications raise, so this is rare. */
int python_error(struct ramet_err *err, const char *what);
/* python_error_internal - the same as an error of a call; valid until the next one */
int python_error_internal(const char *what, struct ramet_engine_error *ret_error);

/* python_error_take - a failure of ramet_host/failure.py: the five texts of the tuple from `first`
 * on. What *ret_error points to belongs to *ret_owner, a new reference (NULL when memory is short).
 * Returns the code. */
int python_error_take(PyObject *failure, Py_ssize_t first, PyObject **ret_owner,
	struct ramet_engine_error *ret_error);

#endif
