/* is_plain(): whether a value can be pickled in the ordinary way, without looking for functions and
 * classes in it that have to travel as code. What cannot be told at once is not plain. */
#include "bindings/python/client/client.h"

#include <stdbool.h>

#define DEPTH 4
#define LENGTH 64 /* of a container that is looked into */

static bool is_atom(PyObject *value)
{
	return value == Py_None || PyLong_CheckExact(value) || PyUnicode_CheckExact(value) ||
		PyFloat_CheckExact(value) || PyBytes_CheckExact(value) || PyBool_Check(value) ||
		PyComplex_CheckExact(value);
}

static bool is_plain(PyObject *value, unsigned depth);

static bool is_plain_dict(PyObject *dict, unsigned depth)
{
	PyObject *key, *value;
	Py_ssize_t at = 0;
	if (PyDict_Size(dict) > LENGTH)
		return false;
	while (PyDict_Next(dict, &at, &key, &value))
		if (!is_plain(key, depth) || !is_plain(value, depth))
			return false;
	return true;
}

static bool is_plain(PyObject *value, unsigned depth)
{
	bool tuple = PyTuple_CheckExact(value);
	if (is_atom(value))
		return true;
	if (depth-- == 0)
		return false;
	if (PyDict_CheckExact(value))
		return is_plain_dict(value, depth);
	if (!tuple && !PyList_CheckExact(value))
		return false;
	Py_ssize_t length = tuple ? PyTuple_Size(value) : PyList_Size(value);
	bool plain = length <= LENGTH;
	for (Py_ssize_t i = 0; plain && i < length; i++)
		plain = is_plain(
			tuple ? PyTuple_GetItem(value, i) : PyList_GetItem(value, i), depth);
	return plain;
}

PyObject *client_is_plain(PyObject *self, PyObject *value)
{
	(void)self;
	return PyBool_FromLong(is_plain(value, DEPTH));
}
