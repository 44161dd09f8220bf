/* See python_error.h. */
#define PY_SSIZE_T_CLEAN
#include "bindings/python/python_error.h"

#include "base/err.h"

#include <string.h>

#define TEXTS 5 /* code, kind, type, message, traceback */

int python_error(struct ramet_err *err, const char *what)
{
	PyObject *type = NULL;
	PyObject *value = NULL;
	PyObject *trace = NULL;
	PyErr_Fetch(&type, &value, &trace);
	PyObject *text = value ? PyObject_Str(value) : NULL;
	PyObject *bytes = text ? PyUnicode_AsUTF8String(text) : NULL;
	const char *message = bytes ? PyBytes_AsString(bytes) : "no message";
	int rc = err_set(err, RAMET_EINTERNAL, "%s: %s", what, message);
	Py_XDECREF(bytes);
	Py_XDECREF(text);
	Py_XDECREF(type);
	Py_XDECREF(value);
	Py_XDECREF(trace);
	PyErr_Clear();
	return rc;
}

int python_error_internal(const char *what, struct ramet_engine_error *ret_error)
{
	static struct ramet_err err;
	(void)python_error(&err, what);
	*ret_error = (struct ramet_engine_error){.code = err.code,
		.kind = RAMET_ENGINE_SYSTEM,
		.message = {err.msg, strlen(err.msg)}};
	return err.code;
}

static struct ramet_engine_text text_of(PyObject *bytes)
{
	char *data = NULL;
	Py_ssize_t len = 0;
	if (!bytes || PyBytes_AsStringAndSize(bytes, &data, &len) < 0)
		return (struct ramet_engine_text){"", 0};
	return (struct ramet_engine_text){data, (size_t)len};
}

static enum ramet_engine_kind kind_of(struct ramet_engine_text text)
{
	static const char *const kinds[] = {"user", "limit", "system", "refused"};
	for (unsigned i = 0; i < 4; i++)
		if (text.len == strlen(kinds[i]) && memcmp(text.data, kinds[i], text.len) == 0)
			return (enum ramet_engine_kind)i;
	return RAMET_ENGINE_SYSTEM;
}

int python_error_take(PyObject *failure, Py_ssize_t first, PyObject **ret_owner,
	struct ramet_engine_error *ret_error)
{
	struct ramet_engine_text texts[TEXTS];
	PyObject *owner = PyList_New(0);
	for (Py_ssize_t i = 0; i < TEXTS; i++) {
		PyObject *text = PyTuple_GetItem(failure, first + i);
		PyObject *bytes = text ? PyUnicode_AsEncodedString(text, "utf-8", "replace") : NULL;
		int kept = owner && bytes && PyList_Append(owner, bytes) == 0;
		texts[i] = text_of(kept ? bytes : NULL);
		Py_XDECREF(bytes);
	}
	PyErr_Clear();
	*ret_owner = owner;
	*ret_error = (struct ramet_engine_error){
		.code = err_from_name(texts[0].data), /* bytes objects end with a NUL */
		.kind = kind_of(texts[1]),
		.type = texts[2],
		.message = texts[3],
		.traceback = texts[4],
	};
	return ret_error->code;
}
