"""ramet_host.values: the same JSON as the interpreter's json, without NaN and infinities. In this interpreter."""
import json
import unittest

from ramet_host import values

GOOD = ["null", "true", " 1", "-0.5e3", '"a\\u00e9\\n"', '"é"', "[]", "[1, 2.5, \"x\", null, {\"a\": {}}]", '{"a":1,"a":2}', "1 \n\t\r",
        "\n {} ", "9" * 400]
BAD = ["", " ", "nul", "1 2", "[1,]", '{"a":1,}', "{'a': 1}", '"\n"', "NaN", "[Infinity]", "-Infinity", "1\x0b", "1\u00a0", "\ufeff1", "[", '"']
SAYABLE = [None, True, 1, 2.5, "text é \u2028 \"", [], [1, [2, [3]]], {}, {"a": [None], 1: 2, None: 3, True: 4, 2.5: 5}, (1, 2), 1 << 200]


class Text(str):
    pass


class Values(unittest.TestCase):
    def test_decoded_as_by_json(self):
        for text in GOOD:
            self.assertEqual(values.decode(text), json.loads(text), text)

    def test_what_is_no_json(self):
        for text in BAD:
            with self.assertRaises(ValueError, msg=repr(text)):
                values.decode(text)

    def test_a_mistake_is_told_where(self):
        with self.assertRaisesRegex(ValueError, "char 2"):
            values.decode("1 2")

    def test_too_deep_to_read(self):
        with self.assertRaises(RecursionError):
            values.decode("[" * 100_000)
        self.assertEqual(values.decode("[1]"), [1])

    def test_encoded_as_by_json(self):
        for value in [*SAYABLE, Text("subclass")]:
            for encode in values.encode, values.encode_apart:
                self.assertEqual(encode(value), json.dumps(value), repr(value))

    def test_what_cannot_be_said(self):
        circle = []
        circle.append(circle)
        deep = []
        for _ in range(100_000):
            deep = [deep]
        for value, error in ((float("nan"), ValueError), ([float("-inf")], ValueError), (circle, ValueError), (deep, RecursionError),
                             ({1, 2}, TypeError), ({(1,): 1}, TypeError), (b"bytes", TypeError)):
            for encode in values.encode, values.encode_apart:
                for _ in range(2):  # a failure leaves nothing behind
                    with self.assertRaises(error):
                        encode(value)
        shared = [1]
        self.assertEqual(values.encode([shared, shared]), "[[1], [1]]")
        while deep:
            deep = deep.pop()

    def test_by_the_interpreters_c_code(self):
        self.assertTrue(values._parts)


if __name__ == "__main__":
    unittest.main()
