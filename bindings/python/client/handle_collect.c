/* Handle.collect(): all calls that are done, with their results, and what calls have emitted, at
 * once. */
#include "bindings/python/client/client.h"

#include <sched.h>

#define MOST 64 /* results at a time */

/* done already, or within the time, for which the interpreter's lock is given up */
static int wait_any(
	struct ramet *ramet, int timeout_ms, struct ramet_call **ret_call, struct ramet_err *err)
{
	int rc = ramet_wait_any(ramet, NULL, 0, 0, ret_call, err);
	if (rc != RAMET_ETIMEOUT || timeout_ms == 0)
		return rc;
	PyThreadState *state = PyEval_SaveThread();
	rc = ramet_wait_any(ramet, NULL, 0, timeout_ms, ret_call, err);
	PyEval_RestoreThread(state);
	/* meanwhile another thread may have forgotten it */
	return rc < 0 ? rc : ramet_wait_any(ramet, NULL, 0, 0, ret_call, err);
}

/* user may be NULL; takes what */
static int tell(PyObject *list, PyObject *user, PyObject *what)
{
	PyObject *pair = what ? PyTuple_Pack(2, user ? user : Py_None, what) : NULL;
	int rc = pair ? PyList_Append(list, pair) : -1;
	Py_XDECREF(pair);
	Py_XDECREF(what);
	return rc;
}

/* 1: one was told; 0: the call is not done, and has none now; RAMET_ENOTFOUND: it is done */
static int take_event(const struct call *call, PyObject *list)
{
	struct ramet_event *event = NULL;
	struct ramet_err err = {0};
	int rc = ramet_next_event(call->call, 0, &event, &err);
	if (rc < 0)
		return rc == RAMET_ETIMEOUT ? 0 : RAMET_ENOTFOUND;
	return tell(list, call->user, event_new(event)) < 0 ? -1 : 1;
}

static int take(struct handle *self, struct call *call, PyObject *list)
{
	struct ramet_result *output = NULL;
	struct ramet_err err = {0};
	(void)ramet_wait(call->call, 0, &output, &err);
	int rc = tell(list, call->user, result_new(output, &err));
	Py_CLEAR(call->user);
	handle_forget(self, call->call);
	return rc;
}

/* one that another thread is just sending: it has no Call yet */
static void let_it_be_sent(void)
{
	PyThreadState *state = PyEval_SaveThread();
	sched_yield();
	PyEval_RestoreThread(state);
}

static int collect(struct handle *self, int timeout_ms, PyObject *list, struct ramet_err *err)
{
	struct ramet_call *done = NULL;
	int rc = wait_any(self->ramet, timeout_ms, &done, err);
	while (rc == 0) {
		struct call *call = ramet_call_user(done);
		if (!call) {
			let_it_be_sent();
			return 0;
		}
		int told = call->listens ? take_event(call, list) : RAMET_ENOTFOUND;
		if (told == RAMET_ENOTFOUND)
			told = take(self, call, list);
		if (told < 0)
			return 1;
		if (PyList_Size(list) == MOST)
			return 0;
		rc = ramet_wait_any(self->ramet, NULL, 0, 0, &done, err);
	}
	return rc;
}

PyObject *handle_collect(PyObject *object, PyObject *args)
{
	struct handle *self = (struct handle *)object;
	struct ramet_err err = {0};
	int timeout_ms;
	if (!PyArg_ParseTuple(args, "i", &timeout_ms) || handle_enter(self) < 0)
		return NULL;
	PyObject *list = PyList_New(0);
	int rc = list ? collect(self, timeout_ms, list, &err) : 1;
	handle_leave(self);
	if (list && PyList_Size(list) == 0 && rc == RAMET_ENOTFOUND) {
		Py_DECREF(list);
		Py_RETURN_NONE;
	}
	bool none = list && PyList_Size(list) == 0;
	if (none && rc < 0 && rc != RAMET_ETIMEOUT)
		client_raise(&err);
	if (PyErr_Occurred())
		Py_CLEAR(list);
	return list;
}
