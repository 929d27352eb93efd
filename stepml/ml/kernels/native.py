"""Finds and loads the native kernels that were built for this machine."""

from __future__ import annotations

import ctypes
import hashlib
import platform
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

SOURCE = Path(__file__).with_name("clusters.c")
_INTEGER, _NUMBER, _ARRAY = ctypes.c_int64, ctypes.c_double, ctypes.c_void_p
_ARGUMENTS = (
    *(_ARRAY, _INTEGER, _INTEGER, _ARRAY),  # rows
    *(_ARRAY, _ARRAY, _INTEGER, _INTEGER, _NUMBER, _NUMBER),  # centroids
    *(_ARRAY, _ARRAY, _ARRAY, _ARRAY),  # results
)

Accumulate = Callable[..., int]
"""``accumulate`` of clusters.c: arrays are addresses, and 0 is returned if memory is short."""


def library_path(system: str, machine: str, folder: Path = SOURCE.parent) -> Path:
    """Return the file of the kernels for a platform, whether they were built or not.

    Its name changes with the source, so that no other version is loaded.

    Parameters
    ----------
    system : str
        Like `sys.platform`: ``linux``.
    machine : str
        Like `platform.machine`: ``x86_64``.
    folder : Path
    """
    version = hashlib.sha256(SOURCE.read_bytes()).hexdigest()[:12]
    return folder / f"clusters-{system}-{machine}-{version}.so"


@cache
def accumulate_kernel() -> Accumulate | None:
    """Return the kernel of k-means, or None if this machine has none."""
    return load_kernel(library_path(sys.platform, platform.machine()))


def load_kernel(path: Path) -> Accumulate | None:
    """Return the kernel of k-means in a library.

    Without the library, or with one that does not run on this machine, return None.
    """
    try:
        library = ctypes.CDLL(str(path))
    except OSError:
        return None
    if not library.runs_here():
        return None
    kernel = library.accumulate
    kernel.argtypes = _ARGUMENTS
    found: Accumulate = kernel
    return found
