/* The part of reseeding that every clone runs: no Python code where it can be helped. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "bindings/python/python_random.h"

#include "rfork/safepoint_fault.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>
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

/* what an object of type _random.Random is: Modules/_randommodule.c of CPython */
struct python_mt19937 {
	PyObject head;
	int pos;
	uint32_t key[MT_WORDS];
};

static struct {
	PyObject *random; /* the one of module random, whose state is seeded in place; or None */
	struct python_mt19937 *random_state;
	PyObject *seed_random; /* where that cannot be, with an integer; or None */
	PyObject *numpy; /* the generator whose state is seeded in place; or None */
	struct mt19937 *numpy_state;
	PyObject *seed_numpy; /* where that cannot be; or None */
	PyObject *seed_openssl;
	pid_t pid; /* of the host: OpenSSL seeds itself anew in a process with another one */
	bool idle; /* a fault point, looked for in the host: clones should touch few pages */
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

/* the same for module random's, whose state is its position and its words */
static struct python_mt19937 *random_state(PyObject *generator, PyObject *state)
{
	char *bytes = NULL;
	Py_ssize_t len = 0;
	struct python_mt19937 *mt = (struct python_mt19937 *)generator;
	const size_t size = sizeof(mt->pos) + sizeof(mt->key);
	if (state == Py_None)
		return NULL;
	PyObject *basic = PyObject_GetAttrString((PyObject *)Py_TYPE(generator), "__basicsize__");
	long has = basic ? PyLong_AsLong(basic) : -1;
	Py_XDECREF(basic);
	bool known = has >= (long)sizeof(*mt) &&
		PyBytes_AsStringAndSize(state, &bytes, &len) == 0 && (size_t)len == size &&
		memcmp(&mt->pos, bytes, size) == 0;
	PyErr_Clear();
	return known ? mt : NULL;
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
	PyObject *random;
	PyObject *state;
	PyObject *seed_random;
	PyObject *numpy;
	PyObject *words;
	PyObject *seed_numpy;
	PyObject *seed_openssl;
	Py_XDECREF(module);
	if (!found)
		return -1;
	int ok = PyArg_ParseTuple(found, "OOOOOOO", &random, &state, &seed_random, &numpy, &words,
		&seed_numpy, &seed_openssl);
	if (ok) {
		replace(&generators.random, random);
		generators.random_state = random_state(random, state);
		replace(&generators.seed_random, generators.random_state ? Py_None : seed_random);
		replace(&generators.numpy, numpy);
		generators.numpy_state = numpy_state(numpy, words);
		replace(&generators.seed_numpy, generators.numpy_state ? Py_None : seed_numpy);
		replace(&generators.seed_openssl, seed_openssl);
		generators.pid = getpid();
		generators.idle = safepoint_fault_hit("python.reseed");
	}
	Py_DECREF(found);
	return ok ? 0 : -1;
}

/* --- in a clone --- */

/* SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014), which is
 * what a generator's state is commonly filled with. The kernel's own random words for a whole state
 * cost ten times as much. */
static void seed_state(const unsigned char *seed, uint32_t key[MT_WORDS], int *pos)
{
	uint64_t at;
	memcpy(&at, seed, sizeof(at));
	for (unsigned i = 0; i < MT_WORDS; i += 2) {
		uint64_t word = at += 0x9e3779b97f4a7c15u;
		word = (word ^ word >> 30) * 0xbf58476d1ce4e5b9u;
		word = (word ^ word >> 27) * 0x94d049bb133111ebu;
		word ^= word >> 31;
		key[i] = (uint32_t)word;
		key[i + 1] = (uint32_t)(word >> 32);
	}
	key[0] |= 0x80000000u; /* never all zeros */
	*pos = MT_WORDS;
}

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

static int call_with(PyObject *function, const unsigned char *seed)
{
	if (function == Py_None)
		return 0;
	PyObject *none = PyObject_CallFunction(
		function, "y#", (const char *)seed, (Py_ssize_t)RAMET_ENGINE_SEED_BYTES);
	Py_XDECREF(none);
	return none ? 0 : -1;
}

int python_random_seed(const unsigned char seed[RAMET_ENGINE_SEED_BYTES])
{
	if (!generators.seed_random) {
		PyErr_SetString(PyExc_RuntimeError, "no capture was prepared");
		return -1;
	}
	struct python_mt19937 *random = generators.random_state;
	struct mt19937 *numpy = generators.numpy_state;
	int rc = 0;
	if (generators.idle)
		return 0;
	if (random)
		seed_state(seed, random->key, &random->pos);
	else
		rc = seed_random(seed);
	if (numpy)
		seed_state(seed + sizeof(uint64_t), numpy->key, &numpy->pos);
	if (rc == 0)
		rc = call_with(generators.seed_numpy, seed);
	if (rc == 0 && getpid() == generators.pid)
		rc = call_with(generators.seed_openssl, seed);
	return rc;
}
