/* Handle.deploy(): the options as keywords, and progress told to a callable. */
#include "bindings/python/client/handle_deploy.h"

#include "bindings/python/client/client.h"

#include <stdlib.h>

struct progress {
	PyObject *callable; /* or None */
	PyThreadState *state; /* of the thread that deploys, while it goes without the lock */
	bool failed; /* an exception waits */
};

static void tell(void *user, const char *stage, const char *what, double fraction)
{
	struct progress *p = user;
	if (p->failed)
		return;
	PyEval_RestoreThread(p->state);
	PyObject *said = PyObject_CallFunction(
		p->callable, "NNd", client_text(stage), client_text(what), fraction);
	p->failed = !said;
	Py_XDECREF(said);
	p->state = PyEval_SaveThread();
}

/* A NULL-terminated array of the bytes objects of a tuple, which keeps them. */
static const char **env_array(PyObject *env)
{
	Py_ssize_t count = PyTuple_Size(env);
	const char **array = count < 0 ? NULL : calloc((size_t)count + 1, sizeof(*array));
	if (!array && !PyErr_Occurred())
		PyErr_NoMemory();
	for (Py_ssize_t i = 0; array && i < count; i++) {
		array[i] = PyBytes_AsString(PyTuple_GetItem(env, i));
		if (!array[i]) {
			free(array);
			return NULL;
		}
	}
	return array;
}

static int parse(PyObject *args, PyObject *kwargs, const char **ret_path, PyObject **ret_env,
	struct ramet_deploy_options *o, struct progress *p)
{
	static char *names[] = {"path", "env", "progress", "name", "app", "lang", "handler",
		"python", "fresh", "samples", "idempotent", "node", "deadline_ms", "mem", "output",
		NULL};
	unsigned long long mem = 0;
	unsigned long long output = 0;
	if (!PyArg_ParseTupleAndKeywords(args, kwargs, "sO!O|zzzzzzzpIIKK", names, ret_path,
		    &PyTuple_Type, ret_env, &p->callable, &o->name, &o->app, &o->lang, &o->handler,
		    &o->python, &o->fresh, &o->samples, &o->idempotent, &o->node, &o->deadline_ms,
		    &mem, &output))
		return -1;
	o->mem = mem;
	o->output = output;
	if (p->callable != Py_None) {
		o->progress = tell;
		o->user = p;
	}
	return 0;
}

PyObject *handle_deploy(PyObject *object, PyObject *args, PyObject *kwargs)
{
	struct handle *self = (struct handle *)object;
	struct ramet_deploy_options options = ramet_deploy_options_default();
	struct progress progress = {0};
	struct ramet_result *result = NULL;
	struct ramet_err err = {0};
	const char *path;
	PyObject *env;
	if (parse(args, kwargs, &path, &env, &options, &progress) < 0)
		return NULL;
	const char **array = env_array(env);
	options.env = array;
	if (!array || handle_enter(self) < 0) {
		free(array);
		return NULL;
	}
	progress.state = PyEval_SaveThread();
	(void)ramet_deploy(self->ramet, path, &options, &result, &err);
	PyEval_RestoreThread(progress.state);
	free(array);
	handle_leave(self);
	if (progress.failed) {
		ramet_result_free(result);
		return NULL;
	}
	return result_new(result, &err);
}
