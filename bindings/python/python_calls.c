/* See python_calls.h. */
#define PY_SSIZE_T_CLEAN
#include "bindings/python/python_calls.h"

#include "base/cleanup.h"
#include "bindings/python/python_context.h"

#include <string.h>

int python_calls_init(struct python_calls *calls, PyObject *module)
{
	const struct {
		const char *name;
		PyObject **to;
	} parts[] = {{"handlers", &calls->handlers}, {"Context", &calls->context},
		{"read", &calls->read}, {"unread", &calls->unread}, {"listened", &calls->listened},
		{"failed", &calls->failed}, {"outcome", &calls->outcome},
		{"end_child", &calls->end_child}};
	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		*parts[i].to = PyObject_GetAttrString(module, parts[i].name);
		if (!*parts[i].to)
			return -1;
	}
	return 0;
}

/* The exception that was raised is told to this function, whose answer is returned. */
static PyObject *tell(PyObject *function)
{
	PyObject *type, *value, *trace;
	PyErr_Fetch(&type, &value, &trace);
	PyErr_NormalizeException(&type, &value, &trace);
	if (value && trace)
		(void)PyException_SetTraceback(value, trace);
	PyObject *answer = value ? PyObject_CallFunctionObjArgs(function, value, NULL) : NULL;
	Py_XDECREF(type);
	Py_XDECREF(value);
	Py_XDECREF(trace);
	return answer;
}

static PyObject *bytes_event(const struct ramet_engine_call *call)
{
	PyObject *bytes = PyByteArray_FromStringAndSize(call->data, (Py_ssize_t)call->len);
	PyObject *view = bytes ? PyMemoryView_FromObject(bytes) : NULL;
	Py_XDECREF(bytes);
	return view;
}

/* the value that the handler gets; NULL: with an exception */
static PyObject *event_of(const struct python_calls *calls, const struct ramet_engine_call *call)
{
	static const char null[] = "null";
	if (call->binary)
		return bytes_event(call);
	if (call->len == 0 ||
		(call->len == sizeof(null) - 1 && memcmp(call->data, null, call->len) == 0))
		Py_RETURN_NONE;
	PyObject *text = PyUnicode_DecodeUTF8(call->data, (Py_ssize_t)call->len, "strict");
	PyObject *event = text ? PyObject_CallFunctionObjArgs(calls->read, text, NULL) : NULL;
	Py_XDECREF(text);
	return event;
}

static PyObject *run_handler(struct python_calls *calls, const struct ramet_engine_call *call,
	PyObject *handler, PyObject *event, PyObject *context)
{
	calls->running = true;
	PyObject *result = call->emit
		? PyObject_CallFunctionObjArgs(calls->listened, handler, event, context, NULL)
		: PyObject_CallFunctionObjArgs(handler, event, context, NULL);
	calls->running = false;
	if (!result)
		return tell(calls->failed);
	if (result == Py_None && !calls->child)
		return result;
	PyObject *answer = PyObject_CallFunctionObjArgs(
		calls->child ? calls->end_child : calls->outcome, result, NULL);
	Py_DECREF(result);
	return answer;
}

PyObject *python_calls_run(struct python_calls *calls, const struct ramet_engine_call *call)
{
	PyObject *handler = PyList_GetItem(calls->handlers, (Py_ssize_t)call->function);
	if (!handler)
		return NULL;
	PyObject *event = event_of(calls, call);
	if (!event)
		return tell(calls->unread);
	PyObject *answer = NULL;
	PyObject *context = python_context_new(calls->context, &call->context);
	if (context) {
		Py_INCREF(handler);
		answer = run_handler(calls, call, handler, event, context);
		Py_DECREF(handler);
		Py_DECREF(context);
	}
	Py_DECREF(event);
	return answer;
}
