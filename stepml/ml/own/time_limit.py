"""A limit of time for code of the user's."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from stepml.job.errors import InvalidCodeError

_AGAIN_S = 10.0  # if the code has caught the error


class TimeLimitError(BaseException):
    """The time is over; no ``except Exception`` of the code catches it."""


@contextmanager
def time_limit(seconds: float, what: str) -> Iterator[None]:
    """End the code within after some time, wherever it is.

    Only the main thread, which calls a function's handler, can be interrupted; in others there is
    no limit.

    Parameters
    ----------
    seconds : float
    what : str
        The code, for the message.

    Raises
    ------
    InvalidCodeError
        The time is over.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, frame: FrameType | None) -> None:
        raise TimeLimitError(f"took more than {seconds:g} s")

    handler = signal.signal(signal.SIGALRM, end)
    timer = signal.getitimer(signal.ITIMER_REAL)
    try:
        signal.setitimer(signal.ITIMER_REAL, seconds, _AGAIN_S)
        yield
    except TimeLimitError as error:  # outside of the code, such as between two calls of it
        raise InvalidCodeError(f"{what}: {error}") from error
    finally:
        signal.setitimer(signal.ITIMER_REAL, *timer)
        signal.signal(signal.SIGALRM, handler)
