/* _ramet: libramet for the package ramet, as thin as it gets. Built for the stable ABI (3.9). What
 * is told here by codes and dictionaries, the package makes classes of. */
#include "bindings/python/client/client.h"

#include <string.h>

static PyObject *make_error; /* (code, message) -> exception */

PyObject *client_text(const char *utf8)
{
	return PyUnicode_DecodeUTF8(utf8, (Py_ssize_t)strlen(utf8), "replace");
}

PyObject *client_raise(const struct ramet_err *err)
{
	PyObject *message = client_text(err->msg);
	PyObject *exception = NULL;
	if (message && make_error)
		exception = PyObject_CallFunction(make_error, "iO", err->code, message);
	else if (message)
		PyErr_SetObject(PyExc_RuntimeError, message);
	Py_XDECREF(message);
	if (exception)
		PyErr_SetObject((PyObject *)Py_TYPE(exception), exception);
	Py_XDECREF(exception);
	return NULL;
}

static PyObject *module_set_error(PyObject *self, PyObject *callable)
{
	PyObject *before = make_error;
	Py_INCREF(callable);
	make_error = callable;
	Py_XDECREF(before);
	Py_RETURN_NONE;
}

static PyObject *module_error_name(PyObject *self, PyObject *code)
{
	long number = PyLong_AsLong(code);
	if (number == -1 && PyErr_Occurred())
		return NULL;
	return client_text(ramet_error_name((int)number));
}

static PyMethodDef methods[] = {
	{"set_error", module_set_error, METH_O, "What makes exceptions of (code, message)."},
	{"error_name", module_error_name, METH_O, "\"ENOTFOUND\" for -5."},
	{"is_plain", client_is_plain, METH_O,
		"Numbers, strings, None, and tuples, lists and dicts of these: any pickle does."},
	{NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {
	PyModuleDef_HEAD_INIT, .m_name = "_ramet", .m_size = -1, .m_methods = methods};

static int add(PyObject *m, const char *name, PyObject *object)
{
	int rc = object ? PyModule_AddObject(m, name, object) : -1;
	if (rc < 0)
		Py_XDECREF(object);
	return rc;
}

static const struct {
	const char *name;
	int code;
} codes[] = {
#define CODE(name, number, what) {#name, -(number)},
	RAMET_ERRORS(CODE)
#undef CODE
};

static int add_codes(PyObject *m)
{
	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
		if (PyModule_AddIntConstant(m, codes[i].name, codes[i].code) < 0)
			return -1;
	return 0;
}

PyMODINIT_FUNC PyInit__ramet(void);
PyMODINIT_FUNC PyInit__ramet(void)
{
	PyObject *m = PyModule_Create(&module);
	if (!m)
		return NULL;
	if (add(m, "Handle", handle_type()) < 0 || add(m, "Call", call_type()) < 0 ||
		add(m, "Result", result_type()) < 0 || add(m, "Event", event_type()) < 0 ||
		add(m, "version", client_text(ramet_version())) < 0 ||
		PyModule_AddIntConstant(m, "BINARY", RAMET_CALL_BINARY) < 0 ||
		PyModule_AddIntConstant(m, "ALONE", RAMET_CALL_ALONE) < 0 ||
		PyModule_AddIntConstant(m, "BEHIND", RAMET_CALL_BEHIND) < 0 ||
		PyModule_AddIntConstant(m, "EVENTS", RAMET_CALL_EVENTS) < 0 ||
		PyModule_AddIntConstant(m, "MAX_PAYLOAD", RAMET_MAX_PAYLOAD) < 0 ||
		add_codes(m) < 0)
		Py_CLEAR(m);
	return m;
}
