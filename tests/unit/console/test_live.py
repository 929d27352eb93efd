"""A view says why it shows nothing, and the way on."""

from __future__ import annotations

import asyncio

from stepml.client.connection import MOST_AT_ONCE, connect_local
from stepml.client.reading import READERS
from stepml.console.addresses import JOBS
from stepml.console.apart import THREADS
from stepml.console.feeds import Feed
from stepml.console.live import live
from stepml.job.errors import StepMLError
from stepml.records.errors import ExecutionNotFoundError
from tests.support.drawn import Drawn, drawn


def show(page: Drawn, error: StepMLError) -> None:
    """Show a fact that cannot be read."""

    def read() -> str:
        raise error

    async def until_it_is_said() -> None:
        while not any(str(error) in each for each in page.texts("p")):
            await asyncio.sleep(0.01)

    page.call(lambda: live(Feed(read, lambda _: None), "the fact", print))
    page.done(asyncio.wait_for(until_it_is_said(), 60))


def ways(page: Drawn) -> dict[str, object]:
    return {each.text: each.props["href"] for each in page.tags if each.tag == "a"}


def test_an_absent_job_leads_back_to_the_jobs() -> None:
    with drawn() as page:
        show(page, ExecutionNotFoundError("no run named 'x'"))
        assert ways(page) == {"Show the jobs": JOBS}


def test_what_does_not_answer_leads_nowhere() -> None:
    with drawn() as page:
        show(page, StepMLError("no answer"))
        assert ways(page) == {}


def test_each_thread_of_the_console_keeps_its_connections() -> None:
    client = connect_local("http://127.0.0.1:9").client("s3")
    assert client.meta.config.max_pool_connections == MOST_AT_ONCE
    assert THREADS * READERS <= MOST_AT_ONCE
