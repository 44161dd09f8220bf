/* The part of reseeding that every clone runs: no Python code where it can be helped. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "bindings/python/python_random.h"

#include <stdint.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#define MT_WORDS 624

/* numpy's struct s_mt19937_state; randomness.py has compared it with what numpy says */
struct mt19937 {
	uint32_t key[MT_WORDS];
	int pos;
};

static struct {
	PyObject *seed_random; /* of module random, with an integer; or None */
	struct mt19937 *numpy;
	PyObject *seed_numpy; /* where the state cannot be reached; or None */
	PyObject *seed_openssl;
	pid_t pid; /* of the host: OpenSSL seeds itself anew in a process with another one */
} generators;

static void replace(PyObject **dst, PyObject *value)
{
	PyObject *old = *dst;
	Py_INCREF(value);
	*dst = value;
	Py_XDECREF(old);
}

int python_random_prepare(void)
{
	PyObject *module = PyImport_ImportModule("ramet_host.randomness");
	PyObject *warm = module ? PyObject_CallMethod(module, "warm", NULL) : NULL;
	PyObject *found = warm ? PyObject_CallMethod(module, "survey", NULL) : NULL;
	Py_XDECREF(module);
	Py_XDECREF(warm);
	if (!found)
		return -1;
	replace(&generators.seed_random, PyTuple_GetItem(found, 0));
	generators.numpy = PyLong_AsVoidPtr(PyTuple_GetItem(found, 1));
	replace(&generators.seed_numpy, PyTuple_GetItem(found, 2));
	replace(&generators.seed_openssl, PyTuple_GetItem(found, 3));
	generators.pid = getpid();
	Py_DECREF(found);
	return PyErr_Occurred() ? -1 : 0;
}

static int seed_random(const unsigned char *seed)
{
	uint64_t number;
	if (generators.seed_random == Py_None)
		return 0;
	memcpy(&number, seed, sizeof(number));
	PyObject *value = PyLong_FromUnsignedLongLong(number);
	PyObject *none = value
		? PyObject_CallFunctionObjArgs(generators.seed_random, value, NULL)
		: NULL;
	Py_XDECREF(value);
	Py_XDECREF(none);
	return none ? 0 : -1;
}

/* a state of random words is as good as any, but all zeros */
static int seed_numpy_state(struct mt19937 *state)
{
	if (getrandom(state->key, sizeof(state->key), 0) != (ssize_t)sizeof(state->key)) {
		PyErr_SetFromErrno(PyExc_OSError);
		return -1;
	}
	state->key[0] |= 0x80000000u;
	state->pos = MT_WORDS;
	return 0;
}

static int call_with(PyObject *function, const unsigned char *seed)
{
	if (function == Py_None)
		return 0;
	PyObject *none = PyObject_CallFunction(
		function, "y#", (const char *)seed, (Py_ssize_t)ENGINE_SEED_BYTES);
	Py_XDECREF(none);
	return none ? 0 : -1;
}

int python_random_seed(const unsigned char seed[ENGINE_SEED_BYTES])
{
	int rc = seed_random(seed);
	if (rc == 0 && generators.numpy)
		rc = seed_numpy_state(generators.numpy);
	if (rc == 0)
		rc = call_with(generators.seed_numpy, seed);
	if (rc == 0 && getpid() == generators.pid)
		rc = call_with(generators.seed_openssl, seed);
	return rc;
}
