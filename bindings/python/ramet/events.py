"""What functions tell before their end."""
from __future__ import annotations

import json
from typing import Any, NamedTuple, Union

from ramet import _ramet


class Chunk(NamedTuple):
    """context.emit(value): what JSON says, or bytes."""

    value: Any


class Progress(NamedTuple):
    """context.progress(fraction, text)"""

    fraction: float
    text: str


Event = Union[Chunk, Progress]


def event_of(event: _ramet.Event) -> Event:
    if event.progress:
        return Progress(event.fraction, event.text())
    chunk = event.chunk()
    if event.binary:
        return Chunk(chunk)
    try:
        return Chunk(json.loads(chunk))
    except ValueError:  # a native function's affair
        return Chunk(chunk)
