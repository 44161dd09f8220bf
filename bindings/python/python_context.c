/* See python_context.h. */
#define PY_SSIZE_T_CLEAN
#include "bindings/python/python_context.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <structmember.h>

struct call_context {
	PyObject ob_base;
	struct ramet_engine_context call;
	PyObject *listener; /* of what it emits, or NULL */
};

static const struct ramet_engine_context *call_of(PyObject *self)
{
	return &((struct call_context *)self)->call;
}

static PyObject *get_function(PyObject *self, void *closure)
{
	(void)closure;
	return PyUnicode_FromString(call_of(self)->function ? call_of(self)->function : "");
}

static PyObject *get_version(PyObject *self, void *closure)
{
	(void)closure;
	return PyUnicode_FromString(call_of(self)->version);
}

static PyObject *get_node(PyObject *self, void *closure)
{
	(void)closure;
	return PyLong_FromUnsignedLongLong(call_of(self)->node);
}

static PyObject *get_rank(PyObject *self, void *closure)
{
	(void)closure;
	return PyLong_FromUnsignedLongLong(call_of(self)->rank);
}

static PyObject *get_size(PyObject *self, void *closure)
{
	(void)closure;
	return PyLong_FromUnsignedLongLong(call_of(self)->size);
}

static PyObject *get_id(PyObject *self, void *closure)
{
	char text[2 * RAMET_ENGINE_CALL_ID_BYTES + 1];
	(void)closure;
	for (size_t i = 0; i < RAMET_ENGINE_CALL_ID_BYTES; i++)
		snprintf(text + 2 * i, 3, "%02x", call_of(self)->id[i]);
	return PyUnicode_FromString(text);
}

static PyObject *get_deadline(PyObject *self, void *closure)
{
	uint64_t ns = call_of(self)->deadline_ns;
	(void)closure;
	if (ns == 0)
		Py_RETURN_NONE;
	return PyFloat_FromDouble((double)ns / 1e9);
}

static PyGetSetDef values[] = {
	{"function", get_function, NULL, "Its name.", NULL},
	{"version", get_version, NULL, "Its version.", NULL},
	{"node", get_node, NULL, "The number of the node.", NULL},
	{"rank", get_rank, NULL, "The place in the group of a burst, from 0 on.", NULL},
	{"size", get_size, NULL, "How many there are in the group.", NULL},
	{"id", get_id, NULL, "Of the call, random (hexadecimal).", NULL},
	{"deadline", get_deadline, NULL,
		"time.monotonic() at which the call is interrupted, or None.", NULL},
	{NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef members[] = {
	{"_listener", T_OBJECT, offsetof(struct call_context, listener), 0, NULL},
	{NULL, 0, 0, 0, NULL},
};

static void context_dealloc(PyObject *self)
{
	PyTypeObject *type = Py_TYPE(self);
	Py_XDECREF(((struct call_context *)self)->listener);
	if (PyType_GetFlags(type) & Py_TPFLAGS_HAVE_GC) /* of a class that an application derived */
		PyObject_GC_Del(self);
	else
		PyObject_Free(self);
	Py_DECREF(type);
}

static PyType_Slot slots[] = {
	{Py_tp_getset, values},
	{Py_tp_members, members},
	{Py_tp_dealloc, (void *)(uintptr_t)context_dealloc},
	{0, NULL},
};

static PyType_Spec spec = {.name = "_ramet_host.CallContext",
	.basicsize = sizeof(struct call_context),
	.flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
	.slots = slots};

int python_context_add(PyObject *module)
{
	PyObject *type = PyType_FromSpec(&spec);
	if (!type)
		return -1;
	int rc = PyModule_AddObject(module, "CallContext", type);
	if (rc < 0)
		Py_DECREF(type);
	return rc;
}

PyObject *python_context_new(PyObject *type, const struct ramet_engine_context *context)
{
	PyObject *self = PyType_GenericAlloc((PyTypeObject *)type, 0);
	if (self)
		((struct call_context *)self)->call = *context;
	return self;
}
