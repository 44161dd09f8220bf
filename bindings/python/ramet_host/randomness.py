"""Which generators of random numbers a clone must seed anew, found out before a capture.

The work itself is done in C (python_random.c), since each page that a clone touches costs it a fault: running
random.seed(), numpy.random.seed() and ssl.RAND_add() as they are takes 280 faults of 500. Both Mersenne twisters are
seeded in place where their memory is what it is known to be.

Seeded are those that modules share: random's functions, numpy.random's functions, OpenSSL's. Generators that an
application made itself are copied like all its objects.
"""
import struct
import sys


def _python():
    """The generator behind random's functions, with no Gaussian kept for later; its state as bytes, next word first;
    the C method behind random.seed() for integers. Or None each."""
    module = sys.modules.get("random")
    if module is None:
        return None, None, None
    instance = module._inst
    instance.gauss_next = None
    *words, position = instance.getstate()[1]
    return instance, struct.pack("=i624I", position, *words), super(type(instance), instance).seed


def _numpy():
    """numpy.random's own generator, with no Gaussian kept for later; or None."""
    module = sys.modules.get("numpy.random.mtrand")
    if module is None:
        return None
    state = module._rand.get_state(legacy=False)
    state.update(has_gauss=0, gauss=0.0)
    module._rand.set_state(state)
    return module._rand._bit_generator


def _seed_numpy(seed):
    generator = sys.modules["numpy.random.mtrand"]._rand._bit_generator
    generator.state = type(generator)(int.from_bytes(seed, "little")).state


def _seed_openssl(seed):
    module = sys.modules.get("_ssl")
    if module is not None:
        module.RAND_add(seed, 32.0)


def _warm_openssl():
    """OpenSSL's generator takes 0.8 ms to set up: then it is in the seed."""
    module = sys.modules.get("_ssl")
    if module is not None:
        module.RAND_bytes(1)


def survey():
    """(random's generator, its state and the method that seeds it, or None each; numpy's bit generator, or None; the
    words of its state if it is an MT19937, else None; function that seeds numpy, where it must; function that seeds
    OpenSSL)

    The functions take 32 bytes. OpenSSL notices a fork by its process id: it is seeded where a clone has the host's.
    """
    _warm_openssl()
    numpy, words, seed_numpy = _numpy(), None, None
    if numpy is not None:
        seed_numpy = _seed_numpy
        if type(numpy).__name__ == "MT19937":
            words = numpy.state["state"]["key"].tobytes()
    return *_python(), numpy, words, seed_numpy, _seed_openssl
