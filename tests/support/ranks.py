"""Helpers of tests of exchanges."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np

from comm import Message, Workers

T = TypeVar("T")


def workers(world_size: int, job_id: str = "job") -> Workers:
    return Workers(f"jobs/{job_id}/exchange/0123456789abcdef/", world_size)


def messages(world_size: int, size: int, seed: int = 0) -> list[Message]:
    """Return each rank's contribution."""
    rng = np.random.default_rng([seed, size])
    return [
        Message(rng.normal(size=size).astype(np.float32), np.array([rank + 0.1, 1.0]))
        for rank in range(world_size)
    ]


def total(contributions: list[Message]) -> bytes:
    """Return the bits of the sum in rank order."""
    vector = contributions[0].vector.copy()
    for each in contributions[1:]:
        vector += each.vector
    return vector.tobytes()


def at_once(world_size: int, act: Callable[[int], T]) -> list[T]:
    """Run each rank's ``act`` concurrently, and return the results."""
    with ThreadPoolExecutor(world_size) as pool:
        return list(pool.map(act, range(world_size)))
