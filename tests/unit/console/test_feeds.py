"""Facts are read once for all who follow them, again when they change, and not for nobody."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from stepml.cli.machine import as_stepml_error
from stepml.client.client import Client
from stepml.client.connection import Connection, connect_local
from stepml.console.backends import Backend
from stepml.console.board import MOST_IDLE, Board
from stepml.console.feeds import Feed, Reading
from stepml.job.errors import StepMLError

WAIT_S = 240.0


class Source:
    """A fact that a test changes, and that counts how often it is read."""

    def __init__(self, *values: Any) -> None:
        self.values, self.reads = list(values), 0

    def read(self) -> Any:
        self.reads += 1
        value = self.values[0] if len(self.values) == 1 else self.values.pop(0)
        if isinstance(value, Exception):
            raise value
        return value


class Heard:
    """The readings that a follower has heard."""

    def __init__(self) -> None:
        self.readings: list[Reading[Any]] = []
        self._new = asyncio.Event()

    def __call__(self, reading: Reading[Any]) -> None:
        self.readings.append(reading)
        self._new.set()

    async def until(self, number: int) -> list[Reading[Any]]:
        while len(self.readings) < number:
            self._new.clear()
            await asyncio.wait_for(self._new.wait(), WAIT_S)
        return self.readings


def run(scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(scenario())


def test_all_followers_share_the_reads() -> None:
    async def scenario() -> None:
        source = Source("a")
        feed = Feed(source.read, lambda _: 1000.0)
        first, second = Heard(), Heard()
        feed.follow(first)
        feed.follow(second)
        await first.until(1)
        late = Heard()
        feed.follow(late)
        for heard in (first, second, late):
            assert [each.value for each in await heard.until(1)] == ["a"]
        assert source.reads == 1

    run(scenario)


def test_a_fact_that_nobody_follows_is_not_read() -> None:
    async def scenario() -> None:
        source = Source("a")
        feed = Feed(source.read, lambda _: 0.0)
        heard = Heard()
        leave = feed.follow(heard)
        await heard.until(1)
        leave()
        leave()  # twice, as a page may
        await asyncio.sleep(0)  # a read that has begun ends in its thread
        reads = source.reads
        feed.refresh()
        for _ in range(100):
            await asyncio.sleep(0)
        assert source.reads <= reads + 1
        assert not feed.is_followed

    run(scenario)


def test_only_changes_are_told() -> None:
    async def scenario() -> None:
        source = Source("a", "a", "a", "b")
        heard = Heard()
        Feed(source.read, lambda _: 0.0).follow(heard)
        assert [each.value for each in await heard.until(2)] == ["a", "b"]

    run(scenario)


def test_a_fact_that_can_no_longer_change_is_read_once_and_after_a_refresh() -> None:
    async def scenario() -> None:
        source = Source("running", "ended", "running again")
        feed = Feed(source.read, lambda value: None if value == "ended" else 0.0)
        heard = Heard()
        feed.follow(heard)
        await heard.until(2)
        for _ in range(100):
            await asyncio.sleep(0)
        assert source.reads == 2
        feed.refresh()
        await heard.until(3)
        assert heard.readings[-1].value == "running again"

    run(scenario)


def test_a_failure_is_told_with_the_last_value_and_the_fact_is_read_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("stepml.console.feeds.MAX_PAUSE_S", 0.0)

    async def scenario() -> None:
        heard = Heard()
        Feed(Source("a", StepMLError("gone"), StepMLError("gone"), "a").read, lambda _: 0.0).follow(
            heard
        )
        first, away, back = (await heard.until(3))[:3]
        assert (first.value, first.error) == ("a", None)
        assert (away.value, str(away.error), away.read_at) == ("a", "gone", first.read_at)
        assert (back.value, back.error) == ("a", None)

    run(scenario)


def test_a_defect_is_told_as_one() -> None:
    async def scenario() -> None:
        heard = Heard()
        Feed(Source(KeyError("x")).read, lambda _: 1000.0).follow(heard)
        (reading,) = await heard.until(1)
        assert "this is a defect of StepML" in str(reading.error)

    run(scenario)


def test_a_follower_that_fails_does_not_end_the_feed() -> None:
    async def scenario() -> None:
        def fail(_: Reading[Any]) -> None:
            raise ValueError("a defect of a page")

        feed = Feed(Source("a", "b").read, lambda _: 0.0)
        heard = Heard()
        feed.follow(fail)
        feed.follow(heard)
        await heard.until(2)

    run(scenario)


def test_a_read_without_an_answer_holds_neither_pages_nor_the_end() -> None:
    """The thread that reads is one of those for which Python does not wait."""

    async def scenario() -> None:
        begun, release = threading.Event(), threading.Event()

        def read() -> bool:
            assert threading.current_thread().daemon
            begun.set()
            return release.wait(WAIT_S)

        leave = Feed(read, lambda _: 0.0).follow(Heard())
        while not begun.is_set():
            await asyncio.sleep(0)
        leave()
        release.set()

    run(scenario)


def test_a_board_keeps_feeds_that_pages_follow_and_the_newest_others() -> None:
    async def scenario() -> None:
        nowhere = Connection(None, "http://127.0.0.1:9")  # type: ignore[arg-type]
        board = Board(Client(nowhere))  # nothing of it is read
        source = Source("a")

        def feed(key: int) -> Feed[Any]:
            return board.feed(key, source.read, lambda _: 1000.0)

        followed = feed(0)
        leave = followed.follow(Heard())
        idle = [feed(key) for key in range(1, MOST_IDLE + 1)]
        assert [feed(key) for key in range(1, MOST_IDLE + 1)] == idle
        feed(MOST_IDLE + 1)
        feed(MOST_IDLE + 2)
        assert feed(0) is followed
        assert feed(1) is not idle[0]
        leave()

    run(scenario)


def test_a_board_forgets_what_another_local_aws_said() -> None:
    first = Client(connect_local("http://127.0.0.1:9", identity="a"), "mine")
    board = Board(first)
    known = board.feed("jobs", Source("a").read, lambda _: None)
    board.keep_up(Backend("a"))
    assert (board.client, board.feed("jobs", Source("b").read, lambda _: None)) == (first, known)
    board.keep_up(Backend("b"))
    assert board.feed("jobs", Source("b").read, lambda _: None) is not known
    connection = board.client.connection
    assert (connection.local_id, connection.place) == ("b", "http://127.0.0.1:9")
    assert board.client.stack_name == "mine"


def test_an_error_that_is_worded_already_is_no_defect() -> None:
    refused = StepMLError("no run named 'nothing'")
    assert as_stepml_error(refused) is refused
