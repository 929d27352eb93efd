"""Reads several things at the same time, in threads that nothing has to wait for.

The threads of an executor are joined when Python ends: after Ctrl-C, a command would go on until
each of its requests has an answer, or none in a minute.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Future
from functools import partial
from queue import Empty, SimpleQueue
from threading import Thread
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

READERS = 8  # requests at once


def in_background(read: Callable[[], R]) -> Future[R]:
    """Begin to read; the future has the result, or the error."""
    future: Future[R] = Future()
    _start(lambda: _settle(future, read))
    return future


def read_each(read: Callable[[T], R], items: Iterable[T]) -> list[R]:
    """Return the results of ``read`` for each of ``items``, in their order.

    After an error, no further item is read.
    """
    each = list(items)
    if len(each) <= 1:
        return [read(item) for item in each]
    futures: list[Future[R]] = [Future() for _ in each]
    left: SimpleQueue[tuple[Future[R], T]] = SimpleQueue()
    for pair in zip(futures, each, strict=True):
        left.put(pair)

    def work() -> None:
        while True:
            try:
                future, item = left.get_nowait()
            except Empty:
                return
            if future.set_running_or_notify_cancel():
                _settle(future, partial(read, item))

    for _ in range(min(READERS, len(each))):
        _start(work)
    try:
        return [future.result() for future in futures]
    finally:
        for future in futures:
            future.cancel()


def _start(work: Callable[[], None]) -> None:
    Thread(target=work, name="reader", daemon=True).start()


def _settle(future: Future[R], read: Callable[[], R]) -> None:
    try:
        result = read()
    except BaseException as error:  # to be raised where the result is wanted
        future.set_exception(error)
    else:
        future.set_result(result)
