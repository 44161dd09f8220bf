/* Event: what a call has emitted. The function may emit more when it has gone. */
#include "bindings/python/client/client.h"

#include <structmember.h>
#include <unistd.h>

static PyObject *type;

struct event {
	PyObject ob_base;
	struct ramet_event *event;
	pid_t pid; /* whose it is */
	int code; /* 0, as of a Result that is well */
	int progress, binary;
	double fraction;
};

PyObject *event_new(struct ramet_event *event)
{
	struct event *self = PyObject_New(struct event, (PyTypeObject *)type);
	if (!self) {
		ramet_event_free(event);
		return NULL;
	}
	self->event = event;
	self->pid = getpid();
	self->code = 0;
	self->progress = event->progress;
	self->binary = event->binary;
	self->fraction = event->fraction;
	return (PyObject *)self;
}

static void event_dealloc(PyObject *object)
{
	struct event *self = (struct event *)object;
	PyTypeObject *own = Py_TYPE(object);
	if (self->pid == getpid())
		ramet_event_free(self->event);
	PyObject_Free(self);
	Py_DECREF(own);
}

static PyObject *event_chunk(PyObject *object, PyObject *none)
{
	const struct ramet_event *e = ((struct event *)object)->event;
	return PyBytes_FromStringAndSize(e->chunk, (Py_ssize_t)e->len);
}

static PyObject *event_text(PyObject *object, PyObject *none)
{
	return client_text(((struct event *)object)->event->text);
}

PyObject *event_type(void)
{
	static PyMemberDef members[] = {
		{"code", T_INT, offsetof(struct event, code), READONLY, "0"},
		{"progress", T_INT, offsetof(struct event, progress), READONLY,
			"fraction and text"},
		{"binary", T_INT, offsetof(struct event, binary), READONLY, "not JSON"},
		{"fraction", T_DOUBLE, offsetof(struct event, fraction), READONLY, "0 to 1"},
		{NULL, 0, 0, 0, NULL},
	};
	static PyMethodDef methods[] = {
		{"chunk", event_chunk, METH_NOARGS, "Its bytes."},
		{"text", event_text, METH_NOARGS, "For people."},
		{NULL, NULL, 0, NULL},
	};
	static PyType_Slot slots[] = {
		{Py_tp_doc, "What a call has emitted."},
		{Py_tp_dealloc, SLOT(event_dealloc)},
		{Py_tp_members, members},
		{Py_tp_methods, methods},
		{0, NULL},
	};
	static PyType_Spec spec = {
		"_ramet.Event", sizeof(struct event), 0, Py_TPFLAGS_DEFAULT, slots};
	type = PyType_FromSpec(&spec);
	Py_XINCREF(type);
	return type;
}
