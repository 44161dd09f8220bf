/* Call: one that was sent off. */
#include "bindings/python/client/client.h"

#include <structmember.h>
#include <unistd.h>

static PyObject *type;

PyObject *call_new(struct handle *handle, struct ramet_call *call, PyObject *user, bool listens)
{
	struct call *self = PyObject_New(struct call, (PyTypeObject *)type);
	if (!self) {
		ramet_call_free(call);
		return NULL;
	}
	Py_INCREF(handle);
	Py_XINCREF(user);
	self->handle = handle;
	self->call = call;
	self->user = user;
	self->listens = listens;
	ramet_call_set_user(call, self);
	return (PyObject *)self;
}

static void call_dealloc(PyObject *object)
{
	struct call *self = (struct call *)object;
	PyTypeObject *own = Py_TYPE(object);
	if (getpid() == self->handle->pid)
		ramet_call_free(self->call);
	Py_XDECREF(self->user);
	Py_DECREF((PyObject *)self->handle);
	PyObject_Free(self);
	Py_DECREF(own);
}

/* Waits are cut into pieces, after each of which Python may see a signal. */
#define PIECE_MS 200

static int wait_piece(
	struct call *self, int timeout_ms, struct ramet_result **ret_result, struct ramet_err *err)
{
	int rc;
	if (handle_enter(self->handle) < 0)
		return 1;
	PyThreadState *state = PyEval_SaveThread();
	rc = ramet_wait(self->call, timeout_ms, ret_result, err);
	PyEval_RestoreThread(state);
	handle_leave(self->handle);
	return rc;
}

/* wait(timeout_ms=-1) - a Result, or None when the time has passed. A result is handed out once. */
static PyObject *call_wait(PyObject *object, PyObject *args)
{
	struct call *self = (struct call *)object;
	struct ramet_result *result = NULL;
	int left = -1;
	if (!PyArg_ParseTuple(args, "|i", &left))
		return NULL;
	for (;;) {
		struct ramet_err err = {0};
		int piece = left < 0 || left > PIECE_MS ? PIECE_MS : left;
		int rc = wait_piece(self, piece, &result, &err);
		if (rc > 0)
			return NULL;
		if (rc != RAMET_ETIMEOUT || result) {
			PyObject *answer = result_new(result, &err);
			handle_forget(self->handle, self->call);
			return answer;
		}
		if (PyErr_CheckSignals() < 0)
			return NULL;
		if (left >= 0 && (left -= piece) == 0)
			Py_RETURN_NONE;
	}
}

static PyObject *call_cancel(PyObject *object, PyObject *none)
{
	struct call *self = (struct call *)object;
	struct ramet_err err = {0};
	int rc;
	if (handle_enter(self->handle) < 0)
		return NULL;
	PyThreadState *state = PyEval_SaveThread();
	rc = ramet_cancel(self->call, &err);
	PyEval_RestoreThread(state);
	handle_leave(self->handle);
	if (rc < 0)
		return client_raise(&err);
	Py_RETURN_NONE;
}

static PyObject *call_drop(PyObject *object, PyObject *none)
{
	struct call *self = (struct call *)object;
	handle_forget(self->handle, self->call);
	Py_RETURN_NONE;
}

PyObject *call_type(void)
{
	static PyMethodDef methods[] = {
		{"wait", call_wait, METH_VARARGS,
			"wait(timeout_ms=-1): a Result, or None: not yet."},
		{"cancel", call_cancel, METH_NOARGS,
			"Ask for its end; it still is to be waited for."},
		{"drop", call_drop, METH_NOARGS,
			"Nobody will wait: cancelled when the last reference to it goes."},
		{NULL, NULL, 0, NULL},
	};
	static PyMemberDef members[] = {
		{"user", T_OBJECT, offsetof(struct call, user), READONLY,
			"The sender's, until the result is taken"},
		{NULL, 0, 0, 0, NULL},
	};
	static PyType_Slot slots[] = {
		{Py_tp_doc, "A call that was sent off; any thread may cancel it, one may wait."},
		{Py_tp_dealloc, SLOT(call_dealloc)},
		{Py_tp_methods, methods},
		{Py_tp_members, members},
		{0, NULL},
	};
	static PyType_Spec spec = {
		"_ramet.Call", sizeof(struct call), 0, Py_TPFLAGS_DEFAULT, slots};
	type = PyType_FromSpec(&spec);
	Py_XINCREF(type);
	return type;
}
