"""Random numbers and settings of the process, which the user's code may change."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Let torch, NumPy and Python draw from ``seed``; afterwards they go on as before.

    Torch's settings for all threads are as before as well: a function serves other jobs later.
    """
    numpy_state, python_state = np.random.get_state(), random.getstate()
    with torch.random.fork_rng(devices=[]), _unchanged_settings():
        let_draw(seed)
        try:
            yield
        finally:
            np.random.set_state(numpy_state)
            random.setstate(python_state)


def let_draw(seed: int) -> None:
    """Let torch, NumPy and Python draw from ``seed``."""
    torch.default_generator.manual_seed(seed)
    np.random.seed(seed % 2**32)
    random.seed(seed)


@contextmanager
def _unchanged_settings() -> Iterator[None]:
    kind, threads = torch.get_default_dtype(), torch.get_num_threads()
    with torch.set_grad_enabled(torch.is_grad_enabled()):
        try:
            yield
        finally:
            torch.set_default_dtype(kind)
            torch.set_num_threads(threads)
