/* Result: what became of a call, and the memory of its output. */
#include "bindings/python/client/client.h"
#include "bindings/python/client/python_buffer.h"

#include <structmember.h>

static PyObject *type;

PyObject *result_new(struct ramet_result *result, const struct ramet_err *err)
{
	PyObject *message = client_text(err->msg);
	struct result *self = message ? PyObject_New(struct result, (PyTypeObject *)type) : NULL;
	if (!self) {
		Py_XDECREF(message);
		ramet_result_free(result);
		return NULL;
	}
	self->result = result;
	self->code = err->code;
	self->binary = result ? result->binary : 0;
	self->run_us = result ? result->run_us : 0;
	self->message = message;
	return (PyObject *)self;
}

static void result_dealloc(PyObject *object)
{
	struct result *self = (struct result *)object;
	PyTypeObject *own = Py_TYPE(object);
	ramet_result_free(self->result);
	Py_XDECREF(self->message);
	PyObject_Free(self);
	Py_DECREF(own);
}

/* Writable: the memory is the result's alone, and arrays that are made of it are their owner's. */
static int result_getbuffer(PyObject *object, Py_buffer *view, int flags)
{
	struct result *self = (struct result *)object;
	static char nothing;
	const struct ramet_result *r = self->result;
	void *output = r && r->output_len ? (void *)r->output : &nothing;
	return PyBuffer_FillInfo(view, object, output, r ? (Py_ssize_t)r->output_len : 0, 0, flags);
}

static Py_ssize_t result_length(PyObject *object)
{
	struct result *self = (struct result *)object;
	return self->result ? (Py_ssize_t)self->result->output_len : 0;
}

static PyObject *result_info(PyObject *object, PyObject *none)
{
	const struct ramet_result *r = ((struct result *)object)->result;
	if (!r)
		return PyDict_New();
	return Py_BuildValue("{sN sN sN sI sI sK si sI sI sN sO sd sd sd sd sd sd sd sK}",
		"function", client_text(r->function), "version", client_text(r->version), "call",
		client_text(r->call), "node", r->node, "source_node", r->source_node, "instance",
		(unsigned long long)r->instance, "pid", (int)r->pid, "rank", r->rank, "group",
		r->group, "start", client_text(ramet_start_name(r->start)), "binary",
		r->binary ? Py_True : Py_False, "queue_us", r->queue_us, "start_us", r->start_us,
		"first_instruction_us", r->first_instruction_us, "run_us", r->run_us, "total_us",
		r->total_us, "capture_us", r->capture_us, "stall_us", r->stall_us, "image_bytes",
		(unsigned long long)r->image_bytes);
}

static PyObject *result_failure(PyObject *object, PyObject *none)
{
	const struct ramet_result *r = ((struct result *)object)->result;
	const struct ramet_failure *f = r ? r->failure : NULL;
	if (!f)
		Py_RETURN_NONE;
	return Py_BuildValue("{sN sO si sK sI sN sN sN sN}", "kind",
		client_text(ramet_kind_name(f->kind)), "retryable",
		f->retryable ? Py_True : Py_False, "signal", f->signal, "fault_address",
		(unsigned long long)f->fault_address, "node", f->node, "type", client_text(f->type),
		"message", client_text(f->message), "traceback", client_text(f->traceback),
		"log_tail",
		PyUnicode_DecodeUTF8(f->log_tail, (Py_ssize_t)f->log_tail_len, "replace"));
}

PyObject *result_type(void)
{
	static PyMemberDef members[] = {
		{"code", T_INT, offsetof(struct result, code), READONLY,
			"0, or that of what failed"},
		{"binary", T_INT, offsetof(struct result, binary), READONLY, "not JSON"},
		{"run_us", T_DOUBLE, offsetof(struct result, run_us), READONLY, "in the handler"},
		{"message", T_OBJECT_EX, offsetof(struct result, message), READONLY, NULL},
		{NULL, 0, 0, 0, NULL},
	};
	static PyMethodDef methods[] = {
		{"info", result_info, METH_NOARGS, "The fields of struct ramet_result."},
		{"failure", result_failure, METH_NOARGS, "Those of struct ramet_failure, or None."},
		{NULL, NULL, 0, NULL},
	};
	static PyType_Slot slots[] = {
		{Py_tp_doc, "What became of a call; its buffer is the output, without a copy."},
		{Py_tp_dealloc, SLOT(result_dealloc)},
		{Py_tp_members, members},
		{Py_tp_methods, methods},
		{Py_sq_length, SLOT(result_length)},
		{Py_bf_getbuffer, SLOT(result_getbuffer)},
		{0, NULL},
	};
	static PyType_Spec spec = {
		"_ramet.Result", sizeof(struct result), 0, Py_TPFLAGS_DEFAULT, slots};
	type = PyType_FromSpec(&spec);
	Py_XINCREF(type);
	return type;
}
