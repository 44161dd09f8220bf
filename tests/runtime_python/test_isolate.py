"""ramet_host.isolate: what is brought back, what is not, and what cannot be. In this interpreter, without a host.

With --native by the host's C module, which must be there.
"""
import importlib
import os
import sys
import tempfile
import textwrap
import threading
import unittest

from ramet_host import isolate
from ramet_host.isolate import Isolate

APP = """
    import collections
    import functools
    import other_of_tests as other

    number, text = 1, "one"
    nested = {"list": [1, [2, {3}]], "order": collections.OrderedDict(a=1), "deque": collections.deque([1])}
    pair = ([1], bytearray(b"b"))
    default = collections.defaultdict(list, a=[1])

    class Thing:
        shared = [1]

        def __init__(self):
            self.own = {"a": 1}

        @classmethod
        def make(cls, kept=[]):
            kept.append(1)
            return kept

        @property
        def prop(self, kept=[]):
            kept.append(1)
            return kept

    thing = Thing()
    loop = [thing]
    loop.append(loop)

    def counter():
        count = 0
        def step():
            nonlocal count
            count += 1
            return count
        return step

    step = counter()

    def late(kept=[], *, named={}):
        kept.append(1)
        named[len(named)] = 1
        return len(kept), len(named)

    @functools.lru_cache
    def cached(n):
        return [n]

    def add(name):
        globals()[name] = 1
"""


class Resetting(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.mkdtemp()
        self.addCleanup(__import__("shutil").rmtree, self.directory)
        self.write("app_of_tests", APP)
        self.write("other_of_tests", "seen = []\n")
        self.write("later_of_tests", "import app_of_tests\nseen = [1]\n")
        before, path, place = dict(sys.modules), list(sys.path), os.getcwd()
        sys.path.insert(0, self.directory)
        import app_of_tests as app

        def forget():
            sys.path[:] = path
            os.chdir(place)
            for name in set(sys.modules) - set(before):
                if name.endswith("_of_tests"):
                    del sys.modules[name]

        self.addCleanup(forget)
        self.app = app
        self.isolate = Isolate(self.directory)
        self.isolate.remember()

    def write(self, name, text):
        with open(os.path.join(self.directory, name + ".py"), "w") as file:
            file.write(textwrap.dedent(text))

    def test_namespaces(self):
        app, function = self.app, self.app.add
        app.add("more")
        app.number, app.add = 2, None
        del app.text
        app.other.seen = None
        self.assertTrue(self.isolate.reset())
        self.assertEqual((app.number, app.text, app.add, app.other.seen), (1, "one", function, []))
        self.assertFalse(hasattr(app, "more"))

    def test_containers_are_the_same_objects_with_the_same_entries(self):
        app = self.app
        inner, queue = app.nested["list"][1], app.nested["deque"]
        app.nested["list"][1].append(4)
        app.nested["list"][1][1].add(4)
        app.nested["order"].clear()
        queue.rotate()
        queue.append(2)
        app.nested["more"] = 1
        app.pair[0].clear()
        app.pair[1][:] = b"changed"
        app.default["b"].append(1)
        app.default["a"].append(2)
        app.loop.pop()
        self.assertTrue(self.isolate.reset())
        self.assertEqual(app.nested, {"list": [1, [2, {3}]], "order": {"a": 1}, "deque": isolate.collections.deque([1])})
        self.assertIs(app.nested["list"][1], inner)
        self.assertIs(app.nested["deque"], queue)
        self.assertEqual(app.pair, ([1], bytearray(b"b")))
        self.assertEqual(app.default, {"a": [1]})
        self.assertIs(app.loop[1], app.loop)

    def test_the_end_of_a_value_changes_what_held_it(self):
        app = self.app

        class Last:
            def __del__(self):
                app.number = app.left_behind = self.__class__

        app.text = Last()
        self.assertTrue(self.isolate.reset())
        if hasattr(app, "left_behind"):  # told after it was looked at: the next reset finds it
            self.assertTrue(self.isolate.reset())
        self.assertEqual((app.number, app.text, hasattr(app, "left_behind")), (1, "one", False))

    def test_the_order_of_names(self):
        before = list(vars(self.app))
        del self.app.number
        self.app.number, self.app.text = 1, 2
        self.assertTrue(self.isolate.reset())
        self.assertEqual(list(vars(self.app)), before)

    def test_classes_objects_and_functions(self):
        app = self.app
        original = app.Thing.make.__func__
        for _ in range(3):
            self.assertEqual(app.Thing.make(), [1])
            self.assertEqual(app.thing.prop, [1])
            self.assertEqual((app.step(), app.late(), app.Thing.shared), (1, (1, 1), [1]))
            app.Thing.shared.append(2)
            app.Thing.other = 1
            app.Thing.make = None
            app.thing.own["b"] = 2
            app.thing.more = 3
            app.late.attribute = 1
            self.assertTrue(self.isolate.reset())
            self.assertEqual(vars(app.thing), {"own": {"a": 1}})
            self.assertFalse(hasattr(app.Thing, "other") or hasattr(app.late, "attribute"))
            self.assertIs(app.Thing.make.__func__, original)

    def test_caches(self):
        first = self.app.cached(1)
        first.append(2)
        self.assertTrue(self.isolate.reset())
        self.assertEqual(self.app.cached(1), [1])

    def test_the_process(self):
        environment, place, out = dict(os.environ), os.getcwd(), sys.stdout
        os.environ["ISOLATE_OF_TESTS"] = "1"
        os.environ.pop("PATH", None)
        os.chdir("/")
        sys.path.append("/nowhere")
        sys.stdout = None
        import later_of_tests

        self.assertTrue(self.isolate.reset())
        self.assertEqual((dict(os.environ), os.getcwd(), sys.stdout), (environment, place, out))
        self.assertNotIn("/nowhere", sys.path)
        self.assertNotIn("later_of_tests", sys.modules)
        import later_of_tests as again

        self.assertIsNot(again, later_of_tests)
        self.assertIs(again.app_of_tests, self.app)

    def test_a_thread_cannot_be_reset(self):
        end = threading.Event()
        thread = threading.Thread(target=end.wait)
        thread.start()
        self.assertFalse(self.isolate.reset())
        end.set()
        thread.join()
        self.assertTrue(self.isolate.reset())

    def test_bytes_that_somebody_looks_at(self):
        view = memoryview(self.app.pair[1])
        self.assertTrue(self.isolate.reset())
        self.app.pair[1][0] = 0
        self.assertTrue(self.isolate.reset())
        self.assertEqual(bytes(view), b"b")

    def test_too_much(self):
        self.app.huge = list(range(isolate.MOST + 1))
        self.isolate.remember()
        self.assertFalse(self.isolate.reset())
        del self.app.huge
        self.isolate.remember()
        self.assertTrue(self.isolate.reset())

    def test_what_keeps_more_than_a_dict(self):
        names = {"Slots": "class Slots:\n    __slots__ = 'x'\n    def __init__(self): self.x = 1\n",
                 "List": "class List(list): pass\n", "Dict": "class Dict(dict): pass\n",
                 "Queue": "import collections\nclass Queue(collections.deque): pass\n",
                 "Derived": "class Slots:\n    __slots__ = ('x', '__dict__')\nclass Derived(Slots): pass\n"}
        for name, text in names.items():
            self.write("kinds_of_tests", text + f"found = [{name}()]\n")
            importlib.invalidate_caches()
            sys.modules.pop("kinds_of_tests", None)
            import kinds_of_tests

            self.assertEqual(len(kinds_of_tests.found), 1)
            self.isolate.remember()
            self.assertFalse(self.isolate.reset(), name)

    def test_what_is_derived_from_constants(self):
        self.write("kinds_of_tests", """
            import abc, collections, enum, typing

            class Plain(abc.ABC, typing.Generic[typing.TypeVar("T")]):
                pass

            class Pair(typing.NamedTuple):
                left: list

            class Colour(enum.IntEnum):
                RED = 1

            class Set(frozenset):
                pass

            plain, pair, colour, kept = Plain(), Pair([1]), Colour.RED, Set([1])
            plain.x, kept.x = 1, [1]
        """)
        importlib.invalidate_caches()
        import kinds_of_tests as kinds

        self.isolate.remember()
        kinds.plain.x = 2
        kinds.pair.left.append(2)
        kinds.kept.x.append(2)
        self.assertTrue(self.isolate.reset())
        self.assertEqual((kinds.plain.x, kinds.pair, kinds.kept.x), (1, ([1],), [1]))

    def test_never_remembered(self):
        self.assertFalse(Isolate(self.directory).reset())


if __name__ == "__main__":
    if "--native" in sys.argv:
        sys.argv.remove("--native")
        from _ramet_host import restore

        assert isolate.restore is restore
    unittest.main()
