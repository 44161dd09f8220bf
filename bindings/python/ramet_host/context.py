"""What a function may know about the call it runs."""
import sys
import time


class Context:
    """Passed as the second argument of a handler. Valid during the call.

    function, version: names; node: number of the node; rank, size: place in the group of a burst, and how many they
    are; id: random id of the call (hex); deadline: time.monotonic() at which the call is interrupted, or None.
    """

    __slots__ = ("function", "version", "node", "rank", "size", "id", "deadline")

    def __init__(self, function, version, node, rank, size, deadline_ns, call_id):
        self.function = function
        self.version = version
        self.node = node
        self.rank = rank
        self.size = size
        self.deadline = deadline_ns / 1e9 if deadline_ns else None
        self.id = call_id.hex()

    @property
    def remaining(self):
        """Seconds until the deadline, or None."""
        return None if self.deadline is None else self.deadline - time.monotonic()

    @property
    def cancelled(self):
        """Whether the deadline has passed."""
        return self.deadline is not None and time.monotonic() >= self.deadline

    def log(self, text):
        """A line of the instance's log."""
        print(text, file=sys.stderr, flush=True)
