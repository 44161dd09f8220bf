/* The buffer protocol as CPython 3.9 and later have it. It joined the stable ABI with 3.11,
 * unchanged; the headers hide it from an extension that asks for 3.9, whose interpreters have it
 * all the same. */
#ifndef BINDINGS_PYTHON_CLIENT_PYTHON_BUFFER_H
#define BINDINGS_PYTHON_CLIENT_PYTHON_BUFFER_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#if defined(Py_LIMITED_API) && Py_LIMITED_API + 0 < 0x030b0000

typedef struct {
	void *buf;
	PyObject *obj; /* owned */
	Py_ssize_t len;
	Py_ssize_t itemsize;
	int readonly;
	int ndim;
	char *format;
	Py_ssize_t *shape;
	Py_ssize_t *strides;
	Py_ssize_t *suboffsets;
	void *internal;
} Py_buffer;

#define PyBUF_SIMPLE 0
#define Py_bf_getbuffer 1 /* slots of PyType_FromSpec() since 3.9 */

PyAPI_FUNC(int) PyObject_GetBuffer(PyObject *object, Py_buffer *view, int flags);
PyAPI_FUNC(void) PyBuffer_Release(Py_buffer *view);
PyAPI_FUNC(int) PyBuffer_FillInfo(
	Py_buffer *view, PyObject *object, void *buf, Py_ssize_t len, int readonly, int flags);

#endif

#endif
