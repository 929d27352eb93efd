"""Several readings at the same time: their order, their errors, and Ctrl-C."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from threading import Barrier, Event

import pytest

from stepml.client.reading import READERS, in_background, read_each
from tests.support.paths import ROOT

WAIT_S = 60


@pytest.mark.parametrize("n_items", [0, 1, 2, READERS, 3 * READERS + 1])
def test_results_come_in_the_order_of_the_items(n_items: int) -> None:
    before = threading.active_count()

    assert read_each(lambda item: item * item, range(n_items)) == [n**2 for n in range(n_items)]

    assert threading.active_count() <= before + READERS


def test_as_many_items_as_there_are_readers_are_read_at_once() -> None:
    all_read = Barrier(READERS, timeout=WAIT_S)

    assert sorted(read_each(lambda _: all_read.wait(), range(READERS))) == [*range(READERS)]


def test_after_an_error_nothing_more_is_read() -> None:
    read: list[int] = []
    goes_on = Event()

    def fails(item: int) -> None:
        read.append(item)
        if item == 0:
            raise KeyError(item)
        goes_on.wait(WAIT_S)

    with pytest.raises(KeyError):
        read_each(fails, range(10 * READERS))
    goes_on.set()

    assert len(read) <= READERS + 1  # the reader that failed may have begun another one


def test_a_reading_in_the_background_has_its_result_or_its_error() -> None:
    assert in_background(lambda: 3).result(WAIT_S) == 3
    with pytest.raises(ZeroDivisionError):
        in_background(lambda: 1 // 0).result(WAIT_S)


@pytest.mark.parametrize(
    "reading",
    ["read_each(lambda _: never.wait(), range(3))", "in_background(never.wait); never.wait()"],
    ids=["each", "background"],
)
def test_ctrl_c_ends_a_command_whose_requests_have_no_answer(reading: str) -> None:
    code = f"""
import os, signal, threading
from stepml.client.reading import in_background, read_each

never = threading.Event()
threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
try:
    {reading}
except KeyboardInterrupt:
    print("interrupted")
"""
    ended = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
        timeout=WAIT_S,
    )

    assert (ended.stdout, ended.stderr) == ("interrupted\n", "")
