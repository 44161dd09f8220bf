/* _ramet_host: lets ramet_host/engine.py be the engine of this process. Built for the stable ABI
 * (3.9), so one binary serves every interpreter; it links libramet-host and no libpython. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "base/err.h"
#include "bindings/python/python_calls.h"
#include "bindings/python/python_context.h"
#include "bindings/python/python_error.h"
#include "bindings/python/python_heap.h"
#include "bindings/python/python_random.h"
#include "bindings/python/python_restore.h"
#include "bindings/python/python_threads.h"
#include "ramet/engine.h"
#include "runtime/host/host.h"

#include <dlfcn.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

struct ramet_engine {
	PyObject *module; /* ramet_host.engine */
	PyObject *done;
	struct python_calls calls;
	PyObject *answer; /* of the last call: owns the memory that the host sends */
	void (*interrupt)(int signal); /* the interpreter's own */
	int signal;
	bool based; /* and nothing was loaded: a capture now is that of a base */
	bool ran; /* something of the application's, in this process: it may have left threads */
	PyThreadState *resting; /* while the host waits */
	const struct ramet_engine_call
		*listened; /* the call that runs, if somebody listens to it */
};

static struct ramet_engine engine;

/* --- the engine --- */

static int python_init(int deadline_signal, char *detail, size_t cap,
	struct ramet_engine **ret_engine, struct ramet_err *err)
{
	struct sigaction action;
	engine.signal = deadline_signal;
	engine.done = PyObject_GetAttrString(engine.module, "done");
	PyObject *line = PyObject_CallMethod(engine.module, "init", "i", deadline_signal);
	PyObject *text = line ? PyUnicode_AsUTF8String(line) : NULL;
	if (!engine.done || !text || python_calls_init(&engine.calls, engine.module) < 0)
		return python_error(err, "the Python engine cannot start");
	snprintf(detail, cap, "%s", PyBytes_AsString(text));
	Py_DECREF(text);
	Py_DECREF(line);
	if (sigaction(deadline_signal, NULL, &action) < 0)
		return err_errno(err, RAMET_EIO, "sigaction");
	engine.interrupt = action.sa_handler;
	*ret_engine = &engine;
	return 0;
}

static PyObject *function_list(const struct ramet_engine_load *load)
{
	PyObject *list = PyList_New(0);
	for (unsigned i = 0; list && i < load->nfunctions; i++) {
		PyObject *pair =
			Py_BuildValue("ss", load->functions[i].name, load->functions[i].handler);
		if (!pair || PyList_Append(list, pair) < 0)
			Py_CLEAR(list);
		Py_XDECREF(pair);
	}
	return list;
}

static PyObject *env_dict(const struct ramet_engine_load *load)
{
	PyObject *dict = PyDict_New();
	for (unsigned i = 0; dict && i < load->nenv; i++) {
		PyObject *value = PyUnicode_DecodeFSDefault(load->env[i].value);
		if (!value || PyDict_SetItemString(dict, load->env[i].name, value) < 0)
			Py_CLEAR(dict);
		Py_XDECREF(value);
	}
	return dict;
}

static PyObject *text_list(const char *const *texts, unsigned count)
{
	PyObject *list = PyList_New(0);
	for (unsigned i = 0; list && i < count; i++) {
		PyObject *text = PyUnicode_DecodeFSDefault(texts[i]);
		if (!text || PyList_Append(list, text) < 0)
			Py_CLEAR(list);
		Py_XDECREF(text);
	}
	return list;
}

/* base or load: the module's function of that name */
static int python_prepare(struct ramet_engine *e, const char *what,
	const struct ramet_engine_load *load, struct ramet_engine_error *ret_error)
{
	e->ran = true;
	PyObject *functions = function_list(load);
	PyObject *env = env_dict(load);
	PyObject *modules = text_list(load->modules, load->nmodules);
	PyObject *path = text_list(load->path, load->npath);
	PyObject *failure = functions && env && modules && path
		? PyObject_CallMethod(e->module, what, "NOOsOOi",
			  PyUnicode_DecodeFSDefault(load->dir), functions, env,
			  load->init ? load->init : "", modules, path, load->resets)
		: NULL;
	Py_XDECREF(functions);
	Py_XDECREF(env);
	Py_XDECREF(modules);
	Py_XDECREF(path);
	if (!failure)
		return python_error_internal(what, ret_error);
	int rc = failure == Py_None ? 0 : python_error_take(failure, 0, &e->answer, ret_error);
	Py_DECREF(failure);
	return rc;
}

static int python_base(struct ramet_engine *e, const struct ramet_engine_load *load,
	struct ramet_engine_error *ret_error)
{
	int rc = python_prepare(e, "base", load, ret_error);
	e->based = rc == 0;
	return rc;
}

static int python_load(struct ramet_engine *e, const struct ramet_engine_load *load,
	struct ramet_engine_error *ret_error)
{
	Py_CLEAR(e->answer); /* that there is no base */
	e->based = false;
	return python_prepare(e, "load", load, ret_error);
}

/* A path that cannot be written down is one that is missing elsewhere: no error. */
static size_t python_roots(struct ramet_engine *e, char *dst, size_t cap)
{
	size_t used = 0;
	PyObject *list = PyObject_CallMethod(e->module, "roots", NULL);
	Py_ssize_t count = list && PyList_Check(list) ? PyList_Size(list) : 0;
	for (Py_ssize_t i = 0; i < count; i++) {
		PyObject *bytes = PyUnicode_EncodeFSDefault(PyList_GetItem(list, i));
		const char *text = bytes ? PyBytes_AsString(bytes) : NULL;
		size_t len = text ? strlen(text) : 0;
		if (len && len < cap - used) {
			memcpy(dst + used, text, len + 1);
			used += len + 1;
		}
		Py_XDECREF(bytes);
	}
	Py_XDECREF(list);
	PyErr_Clear();
	return used;
}

static int take_result(struct ramet_engine *e, struct ramet_engine_result *ret_result)
{
	PyObject *bytes = PyTuple_GetItem(e->answer, 1);
	char *data = NULL;
	Py_ssize_t len = 0;
	if (!bytes || PyBytes_AsStringAndSize(bytes, &data, &len) < 0)
		return -1;
	*ret_result = (struct ramet_engine_result){
		data, (size_t)len, PyTuple_GetItem(e->answer, 2) == Py_True};
	return 0;
}

static int python_call(struct ramet_engine *e, const struct ramet_engine_call *call,
	struct ramet_engine_result *ret_result, struct ramet_engine_error *ret_error)
{
	static const char null[] = "null";
	e->listened = call->emit ? call : NULL;
	PyObject *answer = python_calls_run(&e->calls, call);
	e->listened = NULL;
	if (!answer)
		return python_error_internal("call", ret_error);
	if (answer == Py_None) {
		Py_DECREF(answer);
		*ret_result = (struct ramet_engine_result){null, sizeof(null) - 1, false};
		return 0;
	}
	if (PyTuple_GetItem(answer, 0) != Py_True) {
		int rc = python_error_take(answer, 1, &e->answer, ret_error);
		Py_DECREF(answer);
		return rc;
	}
	e->answer = answer;
	return take_result(e, ret_result) < 0 ? python_error_internal("result", ret_error) : 0;
}

static void python_done(struct ramet_engine *e)
{
	e->ran = true;
	Py_CLEAR(e->answer);
	PyObject *none = PyObject_CallObject(e->done, NULL);
	Py_XDECREF(none);
	PyErr_Clear();
	fflush(stdout); /* what extensions printed */
}

static void python_interrupt(struct ramet_engine *e)
{
	e->interrupt(e->signal);
}

/* Threads that the application has left behind run between calls, too. A clone that has none, and
 * has not been called yet, is spared the page faults. */
static void python_wait_begin(struct ramet_engine *e)
{
	if (e->ran)
		e->resting = PyEval_SaveThread();
}

static void python_wait_end(struct ramet_engine *e)
{
	if (e->resting)
		PyEval_RestoreThread(e->resting);
	e->resting = NULL;
}

/* Memory that is given back must read as zeros in a clone, for every library of the process: so
 * libramet-host's madvise() has to come before libc's (runtime/host/interpose.h). */
static bool is_preloaded(void)
{
	Dl_info info;
	void *found = dlsym(RTLD_DEFAULT, "madvise");
	return found && dladdr(found, &info) && strstr(info.dli_fname, "libramet-host") != NULL;
}

static int python_before_snapshot(struct ramet_engine *e, struct ramet_err *err)
{
	if (!is_preloaded())
		return err_set(err, RAMET_EREFUSED,
			"libramet-host.so is not preloaded: does the interpreter ignore "
			"LD_PRELOAD?");
	if (python_random_prepare() < 0)
		return python_error(err, "finding the generators of random numbers");
	PyObject *none = PyObject_CallMethod(e->module, "before_snapshot", NULL);
	if (!none)
		return python_error(err, "before_snapshot");
	Py_DECREF(none);
	python_threads_learn();
	if (e->based)
		python_heap_seal();
	return 0;
}

static int python_after_clone(struct ramet_engine *e,
	const unsigned char seed[RAMET_ENGINE_SEED_BYTES], struct ramet_err *err)
{
	enum ramet_host_threads threads = ramet_host_threads();
	e->ran = threads != RAMET_HOST_NO_THREADS;
	if (python_random_seed(seed) < 0)
		return python_error(err, "seeding random numbers anew");
	if (threads == RAMET_HOST_NEW_IDS) {
		PyObject *none = PyObject_CallMethod(e->module, "renumber", NULL);
		if (!none)
			return python_error(err, "numbering threads anew");
		Py_DECREF(none);
	}
	return 0;
}

static void python_secrets(
	struct ramet_engine *e, const struct ramet_engine_secret *secrets, unsigned count)
{
	PyObject *list = PyList_New(0);
	e->ran = true;
	for (unsigned i = 0; list && i < count; i++) {
		PyObject *pair = Py_BuildValue(
			"sy#", secrets[i].name, secrets[i].value, (Py_ssize_t)secrets[i].len);
		if (!pair || PyList_Append(list, pair) < 0)
			Py_CLEAR(list);
		Py_XDECREF(pair);
	}
	PyObject *none = list ? PyObject_CallMethod(e->module, "secrets", "O", list) : NULL;
	if (!none)
		PyErr_Print(); /* out of memory: the handler finds none */
	Py_XDECREF(none);
	Py_XDECREF(list);
}

static int python_reset(struct ramet_engine *e)
{
	PyObject *done = PyObject_CallMethod(e->module, "reset", NULL);
	if (!done)
		PyErr_Print(); /* of objects of the application's */
	int rc = done == Py_True ? 0 : RAMET_EREFUSED;
	Py_XDECREF(done);
	return rc;
}

static const struct ramet_engine_ops ops = {
	.name = "python",
	.abi = RAMET_ENGINE_ABI,
	.init = python_init,
	.base = python_base,
	.load = python_load,
	.call = python_call,
	.done = python_done,
	.interrupt = python_interrupt,
	.wait_begin = python_wait_begin,
	.wait_end = python_wait_end,
	.before_snapshot = python_before_snapshot,
	.after_clone = python_after_clone,
	.roots = python_roots,
	.secrets = python_secrets,
	.reset = python_reset,
};

/* --- the module --- */

/* run(engine_module) - serves until told to end; the status to leave with */
static PyObject *module_run(PyObject *self, PyObject *engine_module)
{
	struct ramet_err err;
	(void)self;
	if (ramet_host_register(&ops, &err) < 0) {
		PyErr_SetString(PyExc_RuntimeError, err.msg);
		return NULL;
	}
	Py_INCREF(engine_module);
	engine.module = engine_module;
	return PyLong_FromLong(ramet_host_run());
}

/* after_clone(seed) - what a clone runs first, for a process that forks itself by other means */
static PyObject *module_after_clone(PyObject *self, PyObject *seed)
{
	char *bytes = NULL;
	Py_ssize_t len = 0;
	(void)self;
	if (PyBytes_AsStringAndSize(seed, &bytes, &len) < 0)
		return NULL;
	if (len != RAMET_ENGINE_SEED_BYTES) {
		PyErr_SetString(PyExc_ValueError, "32 bytes are needed");
		return NULL;
	}
	if (python_random_seed((const unsigned char *)bytes) < 0)
		return NULL;
	Py_RETURN_NONE;
}

/* native_id(ident) - the kernel's id of a living thread, where the C library keeps it */
static PyObject *module_native_id(PyObject *self, PyObject *ident)
{
	unsigned long pthread = PyLong_AsUnsignedLong(ident);
	(void)self;
	if (PyErr_Occurred())
		return NULL;
	return PyLong_FromLong(python_threads_id(pthread));
}

/* None, or an exception: the deadline's own where it has passed */
static PyObject *emit(const struct ramet_engine_event *event)
{
	const struct ramet_engine_call *call = engine.listened;
	struct ramet_err err = {0};
	if (!call)
		Py_RETURN_NONE;
	PyThreadState *state = PyEval_SaveThread();
	int rc = call->emit(event, &err);
	PyEval_RestoreThread(state);
	if (rc == 0)
		Py_RETURN_NONE;
	if (PyErr_CheckSignals() == 0)
		PyErr_SetString(rc == RAMET_ELIMIT ? PyExc_OverflowError : PyExc_OSError, err.msg);
	return NULL;
}

/* emit(chunk, binary) - by one thread at a time, during a call */
static PyObject *module_emit(PyObject *self, PyObject *args)
{
	struct ramet_engine_event event = {0};
	Py_ssize_t len;
	int binary;
	(void)self;
	if (!PyArg_ParseTuple(args, "y#p", &event.chunk, &len, &binary))
		return NULL;
	event.len = (size_t)len;
	event.binary = binary != 0;
	return emit(&event);
}

/* progress(fraction, text) - the same */
static PyObject *module_progress(PyObject *self, PyObject *args)
{
	struct ramet_engine_event event = {.progress = true};
	Py_ssize_t len;
	(void)self;
	if (!PyArg_ParseTuple(args, "ds#", &event.fraction, &event.text.data, &len))
		return NULL;
	event.text.len = (size_t)len;
	return emit(&event);
}

/* running() - whether a handler is: it may be interrupted */
static PyObject *module_running(PyObject *self, PyObject *none)
{
	(void)self;
	(void)none;
	return PyBool_FromLong(engine.calls.running);
}

/* returned() - the handler has, though what runs it has not */
static PyObject *module_returned(PyObject *self, PyObject *none)
{
	(void)self;
	(void)none;
	engine.calls.running = false;
	Py_RETURN_NONE;
}

/* forked() - this process is the application's child */
static PyObject *module_forked(PyObject *self, PyObject *none)
{
	(void)self;
	(void)none;
	engine.calls.child = true;
	Py_RETURN_NONE;
}

/* rehearse(index, text) - a call of that handler of which nobody hears */
static PyObject *module_rehearse(PyObject *self, PyObject *args)
{
	struct ramet_engine_call call = {.context = {.function = ""}};
	const char *text = NULL;
	Py_ssize_t len = 0;
	(void)self;
	if (!PyArg_ParseTuple(args, "Is#", &call.function, &text, &len))
		return NULL;
	call.data = text;
	call.len = (size_t)len;
	PyObject *answer = python_calls_run(&engine.calls, &call);
	if (!answer)
		return NULL;
	Py_DECREF(answer);
	Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
	{"after_clone", module_after_clone, METH_O, "Seed random numbers anew from 32 bytes."},
	{"emit", module_emit, METH_VARARGS, "emit(chunk, binary), to whoever listens."},
	{"progress", module_progress, METH_VARARGS, "progress(fraction, text), likewise."},
	{"native_id", module_native_id, METH_O, "The kernel's id of the living thread `ident`."},
	{"running", module_running, METH_NOARGS, "Whether a handler runs."},
	{"returned", module_returned, METH_NOARGS, "The handler has returned."},
	{"forked", module_forked, METH_NOARGS, "The application has forked this process."},
	{"rehearse", module_rehearse, METH_VARARGS,
		"rehearse(index, text): a call of that handler."},
	{"run", module_run, METH_O, "Serve as a host with this engine; returns the exit status."},
	{"restore", python_restore, METH_O,
		"Gives dicts and lists the entries they had; returns what is left to do, or None."},
	{"same_entries", python_same_entries, METH_VARARGS,
		"Whether two dicts have the very same keys and values in the same order."},
	{NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {
	PyModuleDef_HEAD_INIT, .m_name = "_ramet_host", .m_size = -1, .m_methods = methods};

PyMODINIT_FUNC PyInit__ramet_host(void);
PyMODINIT_FUNC PyInit__ramet_host(void)
{
	PyObject *made = PyModule_Create(&module);
	if (made && python_context_add(made) < 0)
		Py_CLEAR(made);
	return made;
}
