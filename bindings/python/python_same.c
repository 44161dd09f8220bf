/* See python_same.h. */
#define PY_SSIZE_T_CLEAN
#include "bindings/python/python_same.h"

#include <stdbool.h>

static bool same(PyObject *found, PyObject *copy)
{
	PyObject *key, *value, *old_key, *old_value;
	Py_ssize_t at = 0;
	Py_ssize_t old_at = 0;
	if (PyDict_Size(found) != PyDict_Size(copy))
		return false;
	while (PyDict_Next(found, &at, &key, &value)) {
		if (!PyDict_Next(copy, &old_at, &old_key, &old_value) || key != old_key ||
			value != old_value)
			return false;
	}
	return true;
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
	return PyBool_FromLong(same(found, copy));
}
