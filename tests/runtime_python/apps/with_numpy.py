"""numpy: its results, and its generators of random numbers."""
import numpy

numpy.random.seed(7)
numpy.random.randn()  # keeps a second Gaussian
matrix = numpy.arange(16.0).reshape(4, 4)


def trace(event, context):
    return float(numpy.trace(matrix @ matrix.T))


def array(event, context):
    return matrix


def bytes_of(event, context):
    return matrix[0].data


def numpy_numbers(event, context):
    return [numpy.random.rand(), numpy.random.randn(), numpy.random.default_rng().random()]


def other_generator(event, context):
    numpy.random.set_bit_generator(numpy.random.PCG64(5))
    return type(numpy.random.get_bit_generator()).__name__
