/* _ramet: the four types of the client extension, and how its C files raise. All functions are
 * called with the interpreter's lock held; whatever may block is done without it. */
#ifndef BINDINGS_PYTHON_CLIENT_CLIENT_H
#define BINDINGS_PYTHON_CLIENT_CLIENT_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "ramet/ramet.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define SLOT(function) ((void *)(uintptr_t)(function)) /* as PyType_Slot wants it */

/* A connection. Closed at once, or when the last thread has left it. */
struct handle {
	PyObject ob_base;
	struct ramet *ramet; /* NULL once closed */
	PyObject *
		calls; /* {address of the struct ramet_call: Call}, until their results are taken */
	unsigned inside; /* threads that are in a function of libramet's with it */
	unsigned sending; /* of them, those that are about to add to `calls` */
	bool refusing; /* what is sent from now on */
	bool closing;
	pid_t pid; /* whose it is: a child of fork() may not even close it */
};

struct call {
	PyObject ob_base;
	struct handle *handle;
	struct ramet_call *call;
	PyObject *user; /* the sender's, until the result is taken; NULL: none */
	bool listens; /* RAMET_CALL_EVENTS */
};

/* What became of a call. Its memory is the output's: views of it keep it alive. */
struct result {
	PyObject ob_base;
	struct ramet_result *result; /* may be NULL when code is not 0 */
	int code;
	int binary;
	double run_us;
	PyObject *message;
};

/* The types are made once; NULL with an exception set. */
PyObject *handle_type(void);
PyObject *call_type(void);
PyObject *result_type(void);
PyObject *event_type(void);

/* handle_enter - before libramet is called without the interpreter's lock; -1 with an exception:
 * closed, or its parent's. handle_leave - after, with the lock. */
int handle_enter(struct handle *handle);
void handle_leave(struct handle *handle);

/* handle_forget - the call's result was taken */
void handle_forget(struct handle *handle, const struct ramet_call *call);

/* call_new - a Call that owns the struct ramet_call, also on failure; user may be NULL */
PyObject *call_new(struct handle *handle, struct ramet_call *call, PyObject *user, bool listens);

/* handle_collect - see handle_collect.c */
PyObject *handle_collect(PyObject *object, PyObject *args);

/* event_new - an Event that owns the struct ramet_event, also on failure */
PyObject *event_new(struct ramet_event *event);

/* result_new - a Result that owns the struct ramet_result, also on failure */
PyObject *result_new(struct ramet_result *result, const struct ramet_err *err);

/* client_is_plain - see is_plain.c */
PyObject *client_is_plain(PyObject *self, PyObject *value);

/* client_raise - sets the exception that ramet.errors has for it, without a result; NULL */
PyObject *client_raise(const struct ramet_err *err);

/* client_text - UTF-8 of the library's; what is not valid is replaced */
PyObject *client_text(const char *utf8);

#endif
