"""Which generators of random numbers a clone must seed anew, found out before a capture.

The work itself is done in C (python_random.c), since each page that a clone touches costs it a fault: running
random.seed(), numpy.random.seed() and ssl.RAND_add() as they are takes 280 faults of 500.
"""
import ctypes
import os
import sys

_MT_WORDS = 624


class _Mt19937(ctypes.Structure):
    """numpy's struct s_mt19937_state."""

    _fields_ = [("key", ctypes.c_uint32 * _MT_WORDS), ("pos", ctypes.c_int)]


def _python_seed():
    """The C method behind random.seed() for integers, or None."""
    module = sys.modules.get("random")
    if module is None:
        return None
    instance = module._inst
    instance.gauss_next = None
    return super(type(instance), instance).seed


def _numpy_state():
    """The address of the state behind numpy.random's functions, or 0 where it is not what it should be."""
    mtrand = sys.modules.get("numpy.random.mtrand")
    generator = getattr(getattr(mtrand, "_rand", None), "_bit_generator", None)
    if type(generator).__name__ != "MT19937":
        return 0
    name, key, pos, _has_gauss, _gauss = mtrand._rand.get_state()
    mtrand._rand.set_state((name, key, pos, 0, 0.0))
    address = generator.ctypes.state_address
    state = _Mt19937.from_address(address)
    return address if list(state.key) == key.tolist() and state.pos == pos else 0


def survey():
    """(method that seeds random, address of numpy's state, functions to call with 32 bytes)

    Functions are what has no faster way: numpy with another generator or layout, and OpenSSL, which notices a fork by
    its process id, and so only where a clone has the same one.
    """
    state = _numpy_state()
    return _python_seed(), state, None if state else _seed_numpy, _seed_openssl


def _seed_numpy(seed):
    mtrand = sys.modules.get("numpy.random.mtrand")
    if mtrand is not None:
        mtrand._rand.seed(list(seed))


def _seed_openssl(seed):
    module = sys.modules.get("_ssl")
    if module is not None:
        module.RAND_add(seed, 32.0)


def warm():
    """OpenSSL's generator takes 0.8 ms to set up: then it is in the seed."""
    _seed_openssl(os.urandom(32))
    module = sys.modules.get("_ssl")
    if module is not None:
        module.RAND_bytes(1)
