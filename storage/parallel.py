"""Concurrent requests to an HTTP service, whose connections mostly wait."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

PARALLEL = 8  # requests at once; more do not transfer faster in a Lambda function


def at_once(call: Callable[[T], R], items: Collection[T]) -> Sequence[R]:
    """Return the results of ``call`` for each of ``items``, in their order."""
    if len(items) <= 1:
        return [call(item) for item in items]
    with ThreadPoolExecutor(min(PARALLEL, len(items))) as pool:
        return list(pool.map(call, items))
