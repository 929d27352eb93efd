"""Tries a footer in a child process, because pyarrow ends the process at some damaged ones.

The description of a column raises C++ exceptions that pyarrow does not translate. Nothing else
shows them before. The child costs a few milliseconds, or 100 if this process is large, so footers
that have been tried are remembered.
"""

from __future__ import annotations

import os
import signal
import sys
import time
import warnings
from collections import deque
from contextlib import suppress
from typing import Any

from stepml.job.errors import InvalidDataError
from stepml.ml.data.objects import DataObject

WAIT_S = 60.0  # a child that takes longer says nothing about the footer
_POLL_S = 0.001
_STDERR = 2
SMALL_BYTES = 2**16
# Readable footers, each of which is read several times, by turns: many small ones, two large ones.
_small: deque[Any] = deque(maxlen=64)
_large: deque[Any] = deque(maxlen=2)


def require_readable(data: DataObject, metadata: Any) -> None:
    """Raise `InvalidDataError` if the process would end at a column of ``metadata``."""
    known = _small if metadata.serialized_size <= SMALL_BYTES else _large
    # Elsewhere than on Linux, a child of many threads may not run.
    if sys.platform != "linux" or any(metadata.equals(each) for each in tuple(known)):
        return
    if _ends_the_process(metadata):
        raise InvalidDataError(
            f"s3 object {data.key}: the footer is damaged: pyarrow cannot read its columns"
        )
    known.append(metadata)


def _ends_the_process(metadata: Any) -> bool:
    with warnings.catch_warnings():
        # The child takes no lock that another thread may hold.
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            child = os.fork()
        except OSError:  # too many processes
            return False
    if child == 0:
        _try_quietly(metadata)
    deadline = time.monotonic() + WAIT_S
    while (ended := os.waitpid(child, os.WNOHANG))[0] == 0:
        if time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return False
        time.sleep(_POLL_S)
    return os.WIFSIGNALED(ended[1])


def _try_quietly(metadata: Any) -> None:
    """Look at all columns as a reader does, and end this process."""
    try:
        import resource  # Windows has none

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        signal.signal(signal.SIGABRT, signal.SIG_DFL)
        os.dup2(os.open(os.devnull, os.O_WRONLY), _STDERR)
        for number in range(metadata.num_row_groups):
            group = metadata.row_group(number)
            for place in range(group.num_columns):
                with suppress(Exception):  # which the reader sees and names
                    statistics = group.column(place).statistics
                    if statistics is not None and statistics.has_min_max:
                        _ = statistics.min, statistics.max
    finally:
        os._exit(0)
