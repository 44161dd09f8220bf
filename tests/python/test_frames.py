"""The frames of calls and answers: what is packed is unpacked, and bytes of others end in ValueError."""
import os
import pickle
import random
import sys
import unittest

import support  # noqa: F401: finds the package

try:
    import numpy
except ImportError:
    print("skipped: needs numpy")
    sys.exit(77)
from ramet import _remote

KEY = bytes(range(16))


class Frames(unittest.TestCase):
    def test_round_trip(self):
        parts = [b"", b"a" * 63, b"b" * 64, bytearray(65), memoryview(b"xyz")]
        kind, key, found = _remote.unpack(memoryview(_remote.pack(_remote.CALL, KEY, parts)))
        self.assertEqual((kind, key, [bytes(p) for p in found]), (_remote.CALL, KEY, [bytes(p) for p in parts]))
        self.assertEqual(_remote.unpack(memoryview(_remote.pack(_remote.UNKNOWN, KEY, ()))), (_remote.UNKNOWN, KEY, []))

    def test_buffers_are_views_of_the_frame_and_aligned(self):
        array = numpy.arange(1000.0)
        packed = _remote.pack(_remote.VALUE, KEY, _remote.dump_parts({"a": array, "b": b"x" * 7}, pickle.dumps))
        frame = memoryview(bytearray(packed))
        parts = _remote.unpack(frame)[2]
        whole = numpy.frombuffer(frame, numpy.uint8)
        found = _remote.load_parts(parts)["a"]
        self.assertTrue(numpy.array_equal(found, array))
        self.assertTrue(numpy.shares_memory(found, whole))
        self.assertTrue(found.flags.writeable)
        self.assertEqual((found.__array_interface__["data"][0] - whole.__array_interface__["data"][0]) % 64, 0)

    def test_cut_off(self):
        frame = _remote.pack(_remote.CALL, KEY, [b"abc", b"d" * 100])
        for length in range(len(frame)):
            with self.assertRaises(ValueError):
                _remote.unpack(memoryview(frame[:length]))

    def test_garbage(self):
        frame = _remote.pack(_remote.CALL, KEY, [b"abc", b"d" * 100])
        generator = random.Random(1)
        for _ in range(20000):
            bad = bytearray(frame)
            for _ in range(generator.randint(1, 4)):
                bad[generator.randrange(len(bad))] = generator.randrange(256)
            try:
                _, _, parts = _remote.unpack(memoryview(bad))
            except ValueError:
                continue
            self.assertLessEqual(sum(map(len, parts)), len(parts) * len(bad))
        for length in range(200):
            with self.assertRaises(ValueError):
                _remote.unpack(memoryview(b"x" + os.urandom(length)))

    def test_plain_or_not(self):
        for value in (1, "a", None, [1, {"a": (2.5, b"")}], numpy.zeros(3), {"x": numpy.zeros(3)}):
            self.assertTrue(_remote.is_plain(value), value)
        for value in (len, Frames, Frames(), [lambda: 1], {"a": [Frames]}, numpy.array([len]), [[[[[1]]]]]):
            self.assertFalse(_remote.is_plain(value), value)


if __name__ == "__main__":
    unittest.main(verbosity=2)
