/* Whether a dict still is what a copy of it was: for `fresh: reset`, which asks it of many after
 * each call. */
#ifndef BINDINGS_PYTHON_PYTHON_SAME_H
#define BINDINGS_PYTHON_PYTHON_SAME_H

#include <Python.h>

/* python_same_entries - the function same_entries(found, copy) of the module: whether two dicts
 * have the very same keys and values in the same order. Nothing of theirs is called. TypeError: one
 * is no dict */
PyObject *python_same_entries(PyObject *self, PyObject *args);

#endif
