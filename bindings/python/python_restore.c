/* See python_restore.h. */
#define PY_SSIZE_T_CLEAN
#include "bindings/python/python_restore.h"

#include <stdbool.h>

enum likeness { SAME, SAME_KEYS, DIFFERENT };

static enum likeness compare_dicts(PyObject *found, PyObject *copy)
{
	PyObject *key, *value, *old_key, *old_value;
	Py_ssize_t at = 0;
	Py_ssize_t old_at = 0;
	enum likeness like = SAME;
	if (PyDict_Size(found) != PyDict_Size(copy))
		return DIFFERENT;
	while (PyDict_Next(found, &at, &key, &value)) {
		if (!PyDict_Next(copy, &old_at, &old_key, &old_value) || key != old_key)
			return DIFFERENT;
		if (value != old_value)
			like = SAME_KEYS;
	}
	return like;
}

static bool same_list(PyObject *found, PyObject *copy)
{
	Py_ssize_t size = PyList_Size(found);
	if (size != PyList_Size(copy))
		return false;
	for (Py_ssize_t i = 0; i < size; i++)
		if (PyList_GetItem(found, i) != PyList_GetItem(copy, i))
			return false;
	return true;
}

/* The end of a value may run code of the application, which may change the dict: it is walked by
 * the copy, which nobody else has. 0, or -1 with an exception */
static int give_back_values(PyObject *found, PyObject *copy)
{
	PyObject *key, *value;
	Py_ssize_t at = 0;
	while (PyDict_Next(copy, &at, &key, &value)) {
		if (PyDict_GetItemWithError(found, key) == value)
			continue;
		if (PyErr_Occurred() || PyDict_SetItem(found, key, value) < 0)
			return -1;
	}
	return 0;
}

/* whether found is what it was: 1, 0, or -1 with an exception */
static int restore_one(PyObject *found, PyObject *copy)
{
	if (PyList_CheckExact(found) && PyList_CheckExact(copy))
		return same_list(found, copy);
	if (!PyDict_Check(found) || !PyDict_CheckExact(copy))
		return 0;
	enum likeness like = compare_dicts(found, copy);
	if (like == SAME_KEYS && PyDict_CheckExact(found)) {
		if (give_back_values(found, copy) < 0)
			return -1;
		like = compare_dicts(found, copy);
	}
	return like == SAME;
}

/* adds it to *left, which is made when the first one is; 0, or -1 with an exception */
static int leave(PyObject **left, PyObject *entry)
{
	if (!*left)
		*left = PyList_New(0);
	return *left ? PyList_Append(*left, entry) : -1;
}

PyObject *python_restore(PyObject *self, PyObject *saved)
{
	PyObject *left = NULL;
	(void)self;
	if (!PyList_CheckExact(saved)) {
		PyErr_SetString(PyExc_TypeError, "what was saved is a list");
		return NULL;
	}
	for (Py_ssize_t i = 0; i < PyList_Size(saved); i++) {
		PyObject *entry = PyList_GetItem(saved, i);
		int done = -1;
		Py_INCREF(entry);
		if (PyTuple_CheckExact(entry) && PyTuple_Size(entry) == 3)
			done = restore_one(PyTuple_GetItem(entry, 1), PyTuple_GetItem(entry, 2));
		else
			PyErr_SetString(PyExc_TypeError, "what was saved has three parts each");
		if (done == 0)
			done = leave(&left, entry);
		Py_DECREF(entry);
		if (done < 0) {
			Py_XDECREF(left);
			return NULL;
		}
	}
	if (left)
		return left;
	Py_RETURN_NONE;
}

PyObject *python_same_entries(PyObject *self, PyObject *args)
{
	PyObject *found, *copy;
	(void)self;
	if (!PyArg_ParseTuple(args, "OO", &found, &copy))
		return NULL;
	if (!PyDict_Check(found) || !PyDict_Check(copy)) {
		PyErr_SetString(PyExc_TypeError, "dicts are compared");
		return NULL;
	}
	return PyBool_FromLong(compare_dicts(found, copy) == SAME);
}
