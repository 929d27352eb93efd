"""The limit of time for code of users."""

from __future__ import annotations

import signal
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from stepml.job.errors import InvalidNetworkError
from stepml.ml.neural.time_limit import time_limit


def wait_for_ever() -> None:
    while True:
        with suppress(Exception):  # as the code of users may
            time.sleep(3600)


def test_code_without_an_end_is_ended_and_what_was_set_before_holds_again() -> None:
    handler = signal.getsignal(signal.SIGALRM)
    delay_s, _ = signal.getitimer(signal.ITIMER_REAL)  # that of pytest-timeout
    ended = pytest.raises(InvalidNetworkError, match=r"^the code: took more than 0.05 s$")
    with ended, time_limit(0.05, "the code"):
        wait_for_ever()
    assert signal.getsignal(signal.SIGALRM) is handler
    assert bool(signal.getitimer(signal.ITIMER_REAL)[0]) == bool(delay_s)


def test_code_that_ends_in_time_goes_on() -> None:
    with time_limit(3600, "the code"):
        assert signal.getitimer(signal.ITIMER_REAL)[0] > 3000


def test_there_is_no_limit_in_other_threads() -> None:
    def work() -> str:
        with time_limit(1e-6, "the code"):
            return "done"

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(work).result() == "done"
