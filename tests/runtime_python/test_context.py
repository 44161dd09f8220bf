"""The type behind a handler's context, in this interpreter: what an application may do to it harms nothing."""
import gc
import unittest
import weakref

from _ramet_host import CallContext
from ramet_host.context import Context

NAMES = ("function", "version", "node", "rank", "size", "id", "deadline")


class OfNoCall(unittest.TestCase):
    def test_its_values(self):
        self.assertEqual([getattr(Context(), name) for name in NAMES], ["", "", 0, 0, 0, "00" * 16, None])

    def test_nothing_is_set(self):
        for context in CallContext(), Context():
            for name in (*NAMES, "other"):
                with self.assertRaises(AttributeError, msg=name):
                    setattr(context, name, 1)

    def test_nobody_listens(self):
        context = Context()
        self.assertFalse(context.listened or context.cancelled)
        self.assertIsNone(context.remaining)
        context.emit(b"to nobody")
        context.progress(0.5)


class Derived(unittest.TestCase):
    def test_it_ends_with_what_it_keeps(self):
        class Kept:
            pass

        class Mine(Context):
            def __init__(self):
                self.me, self.kept = self, Kept()

        class Slots(CallContext):
            __slots__ = ("me", "kept", "__weakref__")
            __init__ = Mine.__init__

        for kind in Mine, Slots:
            kept = [weakref.ref(kind().kept) for _ in range(1000)]
            gc.collect()
            self.assertEqual([each for each in kept if each() is not None], [])

    def test_what_listens_is_let_go(self):
        class Listens:
            pass

        context, listener = Context(), Listens()
        context._listener, seen = listener, weakref.ref(listener)
        del listener
        self.assertIsNotNone(seen())
        del context
        self.assertIsNone(seen())


if __name__ == "__main__":
    unittest.main()
