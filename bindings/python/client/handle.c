/* Handle: a connection, used by any number of threads, and what is asked of it. */
#include "bindings/python/client/client.h"
#include "bindings/python/client/handle_deploy.h"
#include "bindings/python/client/python_buffer.h"

#include <unistd.h>

#define SMALL 65536 /* bytes of data that are copied at once */
#define UNTIMELY (RAMET_CALL_NOWAIT | RAMET_CALL_BEHIND) /* flags that ask for RAMET_EAGAIN */

static PyObject *type;

int handle_enter(struct handle *handle)
{
	struct ramet_err err = {.code = RAMET_ECLOSED, .msg = "the client was closed"};
	if (handle->pid != getpid())
		snprintf(err.msg, sizeof(err.msg),
			"this client was opened before a fork(): a child opens its own "
			"ramet.Client");
	else if (handle->ramet && !handle->closing) {
		handle->inside++;
		return 0;
	}
	client_raise(&err);
	return -1;
}

static void close_if_unused(struct handle *handle)
{
	struct ramet *ramet = handle->ramet;
	if (!handle->closing || handle->inside > 0 || !ramet)
		return;
	handle->ramet = NULL;
	PyThreadState *state = PyEval_SaveThread();
	ramet_close(ramet);
	PyEval_RestoreThread(state);
	PyDict_Clear(handle->calls);
}

void handle_leave(struct handle *handle)
{
	handle->inside--;
	close_if_unused(handle);
}

void handle_forget(struct handle *handle, const struct ramet_call *call)
{
	PyObject *type_was, *value, *traceback;
	PyObject *key = PyLong_FromVoidPtr((void *)call);
	PyErr_Fetch(&type_was, &value, &traceback);
	if (!key || PyDict_DelItem(handle->calls, key) < 0)
		PyErr_Clear(); /* closed meanwhile */
	PyErr_Restore(type_was, value, traceback);
	Py_XDECREF(key);
}

static PyObject *handle_new(PyTypeObject *own, PyObject *args, PyObject *kwargs)
{
	const char *address = NULL;
	struct ramet *ramet = NULL;
	struct ramet_err err = {0};
	int rc;
	if (!PyArg_ParseTuple(args, "|z", &address))
		return NULL;
	PyThreadState *state = PyEval_SaveThread();
	rc = ramet_open(address, &ramet, &err);
	PyEval_RestoreThread(state);
	if (rc < 0)
		return client_raise(&err);
	struct handle *self = PyObject_New(struct handle, own);
	if (!self) {
		ramet_close(ramet);
		return NULL;
	}
	self->ramet = ramet;
	self->inside = self->sending = 0;
	self->refusing = false;
	self->closing = false;
	self->pid = getpid();
	self->calls = PyDict_New();
	if (!self->calls) {
		Py_DECREF((PyObject *)self);
		return NULL;
	}
	return (PyObject *)self;
}

static void handle_dealloc(PyObject *object)
{
	struct handle *self = (struct handle *)object;
	PyTypeObject *own = Py_TYPE(object);
	if (self->ramet && self->pid == getpid())
		ramet_close(self->ramet);
	Py_XDECREF(self->calls);
	PyObject_Free(self);
	Py_DECREF(own);
}

static PyObject *handle_close(PyObject *object, PyObject *none)
{
	struct handle *self = (struct handle *)object;
	if (self->pid == getpid()) {
		self->closing = true;
		close_if_unused(self);
	}
	Py_RETURN_NONE;
}

static int parse_options(PyObject *args, const char **ret_function, PyObject **ret_data,
	struct ramet_call_options *options, PyObject **ret_user)
{
	double deadline = 0;
	if (!PyArg_ParseTuple(args, "sO|IIdOI", ret_function, ret_data, &options->flags,
		    &options->node, &deadline, ret_user, &options->instances))
		return -1;
	if (!(deadline >= 0 && deadline < 4e6)) {
		PyErr_SetString(PyExc_ValueError, "a deadline is 0 to 4e6 seconds");
		return -1;
	}
	options->deadline_ms = (uint32_t)(deadline * 1000);
	if (deadline > 0 && options->deadline_ms == 0)
		options->deadline_ms = 1;
	return 0;
}

static PyObject *remember(
	struct handle *self, struct ramet_call *call, PyObject *user, bool listens)
{
	PyObject *object = call_new(self, call, user, listens);
	PyObject *key = object ? PyLong_FromVoidPtr(call) : NULL;
	if (!key || PyDict_SetItem(self->calls, key, object) < 0)
		Py_CLEAR(object);
	Py_XDECREF(key);
	return object;
}

/* What is small is sent without giving up the interpreter's lock, to have it back costs more than
 * the call, unless sending has to wait. No thread waits for that lock with a lock of libramet's. */
static int send_off(struct ramet *ramet, const char *function, const Py_buffer *view,
	const struct ramet_call_options *options, struct ramet_call **ret_call,
	struct ramet_err *err)
{
	struct ramet_call_options at_once = *options;
	int rc = RAMET_EAGAIN;
	at_once.flags |= RAMET_CALL_NOWAIT;
	if (view->len <= SMALL)
		rc = ramet_call_async(
			ramet, function, view->buf, (size_t)view->len, &at_once, ret_call, err);
	if (rc != RAMET_EAGAIN || (view->len <= SMALL && options->flags & UNTIMELY))
		return rc;
	PyThreadState *state = PyEval_SaveThread();
	rc = ramet_call_async(
		ramet, function, view->buf, (size_t)view->len, options, ret_call, err);
	PyEval_RestoreThread(state);
	return rc;
}

static int enter_to_send(struct handle *self)
{
	static const struct ramet_err closed = {
		.code = RAMET_ECLOSED, .msg = "the client was closed"};
	if (!self->refusing)
		return handle_enter(self);
	client_raise(&closed);
	return -1;
}

/* send(function, data, flags=0, node=0, deadline=0.0, user=None, instances=0) - a Call; data: a
 * contiguous buffer. None: RAMET_EAGAIN, if flags ask for it. */
static PyObject *handle_send(PyObject *object, PyObject *args)
{
	struct handle *self = (struct handle *)object;
	struct ramet_call_options options = ramet_call_options_default();
	struct ramet_call *call = NULL;
	struct ramet_err err = {0};
	const char *function;
	PyObject *data;
	PyObject *user = NULL;
	Py_buffer view;
	if (parse_options(args, &function, &data, &options, &user) < 0 ||
		PyObject_GetBuffer(data, &view, PyBUF_SIMPLE) < 0)
		return NULL;
	if (enter_to_send(self) < 0) {
		PyBuffer_Release(&view);
		return NULL;
	}
	self->sending++;
	int rc = send_off(self->ramet, function, &view, &options, &call, &err);
	PyBuffer_Release(&view);
	PyObject *sent =
		rc < 0 ? NULL : remember(self, call, user, options.flags & RAMET_CALL_EVENTS);
	self->sending--;
	handle_leave(self);
	if (rc == RAMET_EAGAIN && options.flags & UNTIMELY)
		Py_RETURN_NONE;
	return rc < 0 ? client_raise(&err) : sent;
}

static PyObject *handle_remove(PyObject *object, PyObject *args)
{
	struct handle *self = (struct handle *)object;
	struct ramet_err err = {0};
	const char *function;
	int rc;
	if (!PyArg_ParseTuple(args, "s", &function) || handle_enter(self) < 0)
		return NULL;
	PyThreadState *state = PyEval_SaveThread();
	rc = ramet_remove(self->ramet, function, &err);
	PyEval_RestoreThread(state);
	handle_leave(self);
	if (rc < 0)
		return client_raise(&err);
	Py_RETURN_NONE;
}

static PyObject *handle_facts(PyObject *object, PyObject *none)
{
	struct handle *self = (struct handle *)object;
	if (handle_enter(self) < 0)
		return NULL;
	PyObject *facts = Py_BuildValue("II", ramet_node(self->ramet), ramet_nodes(self->ramet));
	handle_leave(self);
	return facts;
}

/* fd() - for an event loop; from then on each answer costs system calls */
static PyObject *handle_fd(PyObject *object, PyObject *none)
{
	struct handle *self = (struct handle *)object;
	if (handle_enter(self) < 0)
		return NULL;
	PyObject *fd = PyLong_FromLong(ramet_fd(self->ramet));
	handle_leave(self);
	return fd;
}

/* calls() - those whose results were not taken yet */
static PyObject *handle_calls(PyObject *object, PyObject *none)
{
	return PyDict_Values(((struct handle *)object)->calls);
}

/* refuse() - no call is sent from now on */
static PyObject *handle_refuse(PyObject *object, PyObject *none)
{
	((struct handle *)object)->refusing = true;
	Py_RETURN_NONE;
}

/* idle() - nothing is under way, nor about to be */
static PyObject *handle_idle(PyObject *object, PyObject *none)
{
	const struct handle *self = (struct handle *)object;
	return PyBool_FromLong(PyDict_Size(self->calls) == 0 && self->sending == 0);
}

PyObject *handle_type(void)
{
	static PyMethodDef methods[] = {
		{"send", handle_send, METH_VARARGS,
			"send(function, data, flags=0, node=0, deadline=0.0, user=None, "
			"instances=0): a Call; "
			"None: later."},
		{"collect", handle_collect, METH_VARARGS,
			"collect(timeout_ms): [(user, Result or Event), …]; None: none is under "
			"way."},
		{"deploy", (PyCFunction)(void (*)(void))handle_deploy, METH_VARARGS | METH_KEYWORDS,
			"deploy(path, …): a Result."},
		{"remove", handle_remove, METH_VARARGS, "remove(function)."},
		{"facts", handle_facts, METH_NOARGS, "(node, nodes)."},
		{"fd", handle_fd, METH_NOARGS, "The descriptor to poll."},
		{"calls", handle_calls, METH_NOARGS, "The Calls whose results were not taken."},
		{"refuse", handle_refuse, METH_NOARGS, "What is sent from now on: Closed."},
		{"idle", handle_idle, METH_NOARGS, "Whether there is nothing to wait for."},
		{"close", handle_close, METH_NOARGS, "Now, or when the last thread has left."},
		{NULL, NULL, 0, NULL},
	};
	static PyType_Slot slots[] = {
		{Py_tp_doc, "Handle(address=None): a connection to a node."},
		{Py_tp_new, SLOT(handle_new)},
		{Py_tp_dealloc, SLOT(handle_dealloc)},
		{Py_tp_methods, methods},
		{0, NULL},
	};
	static PyType_Spec spec = {
		"_ramet.Handle", sizeof(struct handle), 0, Py_TPFLAGS_DEFAULT, slots};
	type = PyType_FromSpec(&spec);
	Py_XINCREF(type);
	return type;
}
