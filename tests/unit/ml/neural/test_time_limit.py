"""The limit of time for code of users."""

from __future__ import annotations

import signal
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from stepml.job.errors import InvalidCodeError
from stepml.ml.own.time_limit import time_limit


def test_code_whose_time_is_over_is_ended_and_what_was_set_before_holds_again() -> None:
    handler = signal.getsignal(signal.SIGALRM)
    delay_s, _ = signal.getitimer(signal.ITIMER_REAL)  # that of pytest-timeout
    ended = pytest.raises(InvalidCodeError, match=r"^the code: took more than 3600 s$")
    with ended, time_limit(3600, "the code"), suppress(Exception):  # as the code may
        signal.raise_signal(signal.SIGALRM)
    assert signal.getsignal(signal.SIGALRM) is handler
    assert bool(signal.getitimer(signal.ITIMER_REAL)[0]) == bool(delay_s)


def test_the_time_runs() -> None:
    with time_limit(3600, "the code"):
        assert 3000 < signal.getitimer(signal.ITIMER_REAL)[0] <= 3600


def test_there_is_no_limit_in_other_threads() -> None:
    def work() -> str:
        with time_limit(1e-6, "the code"):
            return "done"

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(work).result() == "done"
