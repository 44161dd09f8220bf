"""What is imported for a base: what an app's files import from elsewhere before any code of their own has an effect."""
import json  # noqa: F401: as in a host
import os
import pathlib
import sys
import tempfile
import threading
import time
import unittest
import unittest.mock

sys.path.insert(0, str(pathlib.Path(os.environ.get("RAMET_BIN", "build/dev/bin")).resolve().parent / "python"))

from ramet_host import layers, plan  # noqa: E402


class Plan(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = directory.name

    def plan(self, text="", files=(), handlers=("app.py:handler",), modules=(), path=(), init=""):
        for name, content in (("app.py", text), *files):
            file = pathlib.Path(self.directory, name)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(content)
        app = layers.App(self.directory, [("f", handler) for handler in handlers], init, list(modules), list(path))
        return [name if not symbols else f"{name}:{','.join(symbols)}" for name, symbols, _ in plan.scan(app)]

    def test_imports_at_the_top(self):
        self.assertEqual(self.plan('"""An app."""\nfrom __future__ import annotations\nimport aa, bb.cc as dd\n'
                                   "from ee import ff, gg\nX = 3\nY = [X, 'text', -X]\nimport hh\n"),
                         ["aa", "bb.cc", "ee:ff,gg", "hh"])

    def test_an_effect_ends_it(self):
        for effect in ("import os\nos.environ['A'] = 'b'", "print()", "x = f()", "import sys\nsys.path[0:0] = ['x']",
                       "import matplotlib\nmatplotlib.use('Agg')", "for x in y: pass", "with x: pass", "del x",
                       "@decorated\ndef f(): pass", "def f(x=g()): pass", "class A(B): pass", "class A:\n    x = f()",
                       "if x:\n    import yy", "x += f()", "x.y = 1", "assert f()", "raise X", "import_it: f() = 3"):
            self.assertNotIn("later", self.plan(f"import before\n{effect}\nimport later\n"), effect)
            self.assertIn("before", self.plan(f"import before\n{effect}\nimport later\n") or ["before"], effect)

    def test_definitions_do_not(self):
        text = ("import aa\ndef f(x: int = 3, *, y=None) -> str:\n    import inner\n    f()\n"
                "class A:\n    '''text'''\n    x = 1\n    def g(self): f()\nasync def h(): pass\nx: int = 3\nimport bb\n")
        self.assertEqual(self.plan(text), ["aa", "bb"])

    def test_what_may_be_missing(self):
        self.plan("try:\n    import aa\nexcept ImportError:\n    aa = None\nimport bb\n")
        app = layers.App(self.directory, [("f", "app.py:handler")], "", [], [])
        self.assertEqual(plan.scan(app), [("aa", (), True), ("bb", (), False)])

    def test_what_happens_instead(self):
        text = "try:\n    import aa\nexcept ImportError:\n    %s\nimport bb\n"
        for instead in ("import cc", "from cc import dd", "aa = None", "pass"):
            self.assertEqual(self.plan(text % instead), ["aa", "bb"], instead)
        for instead in ("f()", "import os; os.environ['A'] = 'b'", "raise", "from . import cc", "import own"):
            self.assertEqual(self.plan(text % instead, [("own.py", "")]), ["aa"], instead)

    def test_conditions_that_are_known(self):
        self.assertEqual(self.plan("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import aa\nelse:\n    import bb\n"
                                   "if __name__ == '__main__':\n    f()\nimport cc\n"), ["typing:TYPE_CHECKING", "bb", "cc"])

    def test_only_comparisons_with_main_are_known(self):
        for test in ("__name__ != '__main__'", "__name__ == 'app'", "__name__ == '__main__' != X", "__name__ == X",
                     "__name__ in ('__main__', 'app')", "__name__ > '__main__'"):
            self.assertEqual(self.plan(f"import aa\nif {test}:\n    import cc\nimport bb\n"), ["aa"], test)

    def test_own_modules_are_followed(self):
        files = [("helper.py", "import inside\nfrom . import no\n"), ("pkg/__init__.py", "import first\nfrom .sub import x\n"),
                 ("pkg/sub.py", "import second\nfrom .. import no\nimport never\n"), ("lib/far.py", "import third\n")]
        self.assertEqual(self.plan("import aa\nimport far\nimport pkg.sub\nimport bb\n", files, path=["lib"]),
                         ["aa", "third", "first", "second"])
        self.assertEqual(self.plan("from pkg import sub\nimport bb\n", [("pkg/__init__.py", "import first\n"),
                                                                       ("pkg/sub.py", "import second\n")]),
                         ["first", "second", "bb"])
        self.assertEqual(self.plan("import aa\nimport extension\nimport bb\n", [("extension.abi3.so", "")]), ["aa"])

    def test_modules_handlers_and_init_in_their_order(self):
        files = [("other.py", "import bb\n"), ("begin.py", "import cc\nf()\nimport dd\n")]
        self.assertEqual(self.plan("import aa\n", files, ("app.py:f", "other.py:g"), ("zz", "other"), init="begin.py:init"),
                         ["zz", "bb", "aa", "cc"])

    def test_files_that_are_no_modules(self):
        self.assertEqual(self.plan("import aa\n", handlers=("my.app.py:f",), files=[("my.app.py", "import bb\n")]), [])
        self.assertEqual(self.plan("import aa\ndef :\n"), [])
        self.assertEqual(self.plan("import aa\n", handlers=("missing.py:f",)), [])

    def test_what_the_interpreter_has_comes_before_own_files(self):
        self.assertEqual(self.plan("import json\nimport aa\n", [("json.py", "f()\n")]), ["json", "aa"])


class Base(unittest.TestCase):
    """In this process; what is imported comes from a directory outside of the app's."""

    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.own, self.outside = (pathlib.Path(directory.name, name) for name in ("own", "outside"))
        for path in (self.own, self.outside):
            path.mkdir()
        for name in ("first_of_tests", "second_of_tests"):
            self.outside.joinpath(name + ".py").write_text("")
        self.app = layers.App(str(self.own), [("f", "app.py:handler")], "", [], [str(self.outside)])
        modules, self.path = set(sys.modules), list(sys.path)

        def forget():
            layers._base = None
            sys.path[:] = self.path
            for name in set(sys.modules) - modules:
                if name.endswith("_of_tests"):
                    del sys.modules[name]

        self.addCleanup(forget)
        self.write("import first_of_tests\nimport second_of_tests\n")

    def write(self, text):
        self.own.joinpath("app.py").write_text(text)

    def assertRefused(self, failure, text):
        self.assertIsNotNone(failure)
        self.assertEqual(failure[0], "EREFUSED")
        self.assertIn(text, failure[3])

    def test_a_version_that_imports_the_same_first_begins_from_it(self):
        self.assertIsNone(layers.make(self.app))
        self.assertIn("second_of_tests", sys.modules)
        self.write("import first_of_tests\nimport second_of_tests\nimport third_of_tests\nf()\n")
        self.assertIsNone(layers.leave(self.app))
        self.assertEqual(sys.path, self.path)

    def test_another_order_does_not(self):
        for text in ("import second_of_tests\nimport first_of_tests\n", "import first_of_tests\n", "f()\n",
                     "import third_of_tests\nimport first_of_tests\nimport second_of_tests\n"):
            self.write("import first_of_tests\nimport second_of_tests\n")
            self.assertIsNone(layers.make(self.app))
            self.write(text)
            self.assertRefused(layers.leave(self.app), "do not begin by importing")

    def test_path_that_was_changed(self):
        self.assertIsNone(layers.make(self.app))
        sys.path.remove(str(self.outside))
        self.assertRefused(layers.leave(self.app), "sys.path")

    def test_what_cannot_be_looked_at_leaves_no_path(self):
        with unittest.mock.patch.object(layers, "_files", side_effect=LookupError("not there")):
            self.assertRefused(layers.make(self.app), "LookupError: not there")
        self.assertEqual(sys.path, self.path)
        self.assertIsNone(layers.leave(self.app))

    def test_files_are_looked_at_in_another_process_or_there_is_no_base(self):
        with unittest.mock.patch.object(os, "fork", side_effect=OSError):
            self.assertRefused(layers.make(self.app), "another process")
        end = threading.Event()
        thread = threading.Thread(target=end.wait)
        thread.start()
        self.assertRefused(layers.make(self.app), "another process")
        end.set()
        thread.join()
        while len(os.listdir("/proc/self/task")) > 1:  # it is a thread of the kernel's for a moment longer
            time.sleep(0.001)
        self.assertEqual(sys.path, self.path)
        self.assertNotIn("first_of_tests", sys.modules)
        self.assertIsNone(layers.make(self.app))
        with unittest.mock.patch.object(os, "fork", side_effect=OSError):  # then nothing is captured that it has not seen
            self.assertIsNone(layers.leave(self.app))


if __name__ == "__main__":
    unittest.main(verbosity=2)
