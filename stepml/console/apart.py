"""Runs blocking code beside the event loop, in threads that nothing has to wait for."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Generic, TypeVar

T = TypeVar("T")
THREADS = 16
AT_ONCE = threading.BoundedSemaphore(THREADS)


async def apart(call: Callable[[], T]) -> T:
    """Return the result of ``call``, which may block, while pages go on.

    Its thread ends with the process: a request without an answer delays no Ctrl-C, as it would
    in a thread of asyncio's own.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()
    work = _Work(call, done, loop)
    threading.Thread(target=work.do, name="console", daemon=True).start()
    return await done


class _Work(Generic[T]):
    def __init__(
        self, call: Callable[[], T], done: asyncio.Future[T], loop: asyncio.AbstractEventLoop
    ) -> None:
        self._call, self._done, self._loop = call, done, loop

    def do(self) -> None:
        with AT_ONCE:
            if self._done.cancelled():  # nobody waits any more
                return
            try:
                result = self._call()
            except Exception as error:
                failure = error  # the name of `except` ends with it
                self._tell(lambda: self._done.set_exception(failure))
            else:
                self._tell(lambda: self._done.set_result(result))

    def _tell(self, tell: Callable[[], None]) -> None:
        def unless_left() -> None:
            if not self._done.done():
                tell()

        with suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(unless_left)
