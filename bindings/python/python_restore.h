/* What most of a reset is (`fresh: reset`, ramet_host/isolate.py): dicts and lists that are what
 * they were, or nearly. */
#ifndef BINDINGS_PYTHON_PYTHON_RESTORE_H
#define BINDINGS_PYTHON_PYTHON_RESTORE_H

#include <Python.h>

/* python_restore - the function restore(saved) of the module. saved: a list of tuples (function,
 * what can change, its entries as they were). Those that are lists or dicts with the very same
 * entries in the same order are done, and so are dicts of which only values differ, which get
 * theirs back. Returns a list of the tuples that are left, or None. Nothing of theirs is called but
 * what ends values that are replaced. TypeError: saved is something else */
PyObject *python_restore(PyObject *self, PyObject *saved);
/* python_same_entries - the function same_entries(found, copy) of the module: whether two dicts
 * have the very same keys and values in the same order. Nothing of theirs is called. TypeError: one
 * is no dict */
PyObject *python_same_entries(PyObject *self, PyObject *args);

#endif
