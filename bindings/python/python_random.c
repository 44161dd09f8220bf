/* The part of reseeding that every clone runs: no Python code where it can be helped. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "bindings/python/python_random.h"

#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MT_WORDS 624

/* what a bit generator's capsule leads to: numpy/random/bitgen.h, and numpy's struct
 * s_mt19937_state */
struct bitgen {
	void *state;
};
struct mt19937 {
	uint32_t key[MT_WORDS];
	int pos;
};

static struct {
	PyObject *seed_random; /* of module random, with an integer; or None */
	PyObject *numpy; /* the generator whose state is seeded in place; or None */
	struct mt19937 *numpy_state;
	PyObject *seed_numpy; /* where that cannot be; or None */
	PyObject *seed_openssl;
	pid_t pid; /* of the host: OpenSSL seeds itself anew in a process with another one */
} generators;

/* --- before a capture --- */

/* The generator's memory, if it holds what numpy says: nothing else may be written to. */
static struct mt19937 *numpy_state(PyObject *generator, PyObject *words)
{
	char *bytes = NULL;
	Py_ssize_t len = 0;
	struct mt19937 *state = NULL;
	if (words == Py_None || PyBytes_AsStringAndSize(words, &bytes, &len) < 0)
		return NULL;
	PyObject *capsule = PyObject_GetAttrString(generator, "capsule");
	const struct bitgen *bitgen =
		capsule ? PyCapsule_GetPointer(capsule, "BitGenerator") : NULL;
	if (bitgen && len == (Py_ssize_t)sizeof(state->key) &&
		memcmp(bitgen->state, bytes, sizeof(state->key)) == 0)
		state = bitgen->state;
	Py_XDECREF(capsule);
	PyErr_Clear();
	return state;
}

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
	PyObject *found = module ? PyObject_CallMethod(module, "survey", NULL) : NULL;
	PyObject *seed_random;
	PyObject *numpy;
	PyObject *words;
	PyObject *seed_numpy;
	PyObject *seed_openssl;
	Py_XDECREF(module);
	if (!found)
		return -1;
	int ok = PyArg_ParseTuple(
		found, "OOOOO", &seed_random, &numpy, &words, &seed_numpy, &seed_openssl);
	if (ok) {
		replace(&generators.seed_random, seed_random);
		replace(&generators.numpy, numpy);
		generators.numpy_state = numpy_state(numpy, words);
		replace(&generators.seed_numpy, generators.numpy_state ? Py_None : seed_numpy);
		replace(&generators.seed_openssl, seed_openssl);
		generators.pid = getpid();
	}
	Py_DECREF(found);
	return ok ? 0 : -1;
}

/* --- in a clone --- */

static int seed_random(const unsigned char *seed)
{
	uint64_t number;
	if (generators.seed_random == Py_None)
		return 0;
	memcpy(&number, seed, sizeof(number));
	PyObject *value = PyLong_FromUnsignedLongLong(number);
	PyObject *none =
		value ? PyObject_CallFunctionObjArgs(generators.seed_random, value, NULL) : NULL;
	Py_XDECREF(value);
	Py_XDECREF(none);
	return none ? 0 : -1;
}

/* A state of random words is as good as any, but all zeros. The kernel's own words: the C library
 * may keep a state of its own, which is copied. */
static int seed_numpy_state(struct mt19937 *state)
{
	if (syscall(SYS_getrandom, state->key, sizeof(state->key), 0) != (long)sizeof(state->key)) {
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
	if (!generators.seed_random) {
		PyErr_SetString(PyExc_RuntimeError, "no capture was prepared");
		return -1;
	}
	int rc = seed_random(seed);
	if (rc == 0 && generators.numpy_state)
		rc = seed_numpy_state(generators.numpy_state);
	if (rc == 0)
		rc = call_with(generators.seed_numpy, seed);
	if (rc == 0 && getpid() == generators.pid)
		rc = call_with(generators.seed_openssl, seed);
	return rc;
}
