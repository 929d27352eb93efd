"""Conversion of JSON to our types, in any number of threads.

msgspec analyses a type when it is used for the first time. If two threads do that at once, the
process crashes, so it is done here under a lock. All typed conversions go through this module.
"""

from __future__ import annotations

from threading import Lock
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")

_analysing = Lock()
_analysed: set[Any] = set()


def decoded(data: bytes | str, kind: type[T]) -> T:
    """Return the value of type ``kind`` in a JSON text, or raise `msgspec.DecodeError`."""
    _analyse(kind)
    return msgspec.json.decode(data, type=kind)


def converted(value: Any, kind: type[T]) -> T:
    """Return parsed JSON as a value of type ``kind``, or raise `msgspec.ValidationError`."""
    _analyse(kind)
    return msgspec.convert(value, kind)


def analyse_loaded() -> None:
    """Analyse all types that have been loaded, so that no first conversion has to."""
    kinds = [msgspec.Struct]
    while kinds:
        kind = kinds.pop()
        kinds += kind.__subclasses__()
        if kind is not msgspec.Struct:
            _analyse(kind)


def _analyse(kind: Any) -> None:
    if kind in _analysed:
        return
    with _analysing:
        msgspec.json.Decoder(kind)
        _analysed.add(kind)
