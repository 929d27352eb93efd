"""Measure the console with a long job on this machine: 500 epochs of 40 workers.

It makes the job on a local AWS of its own, which takes ten minutes, and stops it before its last
epochs. Then it measures in headless Chromium

* opening the page of the stopped job, and of the finished one: from the click until the page shows
  all, by a console that has not read the job yet, and by one that has;
* while epochs are trained: the time from the beginning of a reading that finds a new epoch until
  its row is on the screen. Functions wait for a network like AWS's first, and leave processors to
  the page, as they do on AWS; then they keep all processors busy;
* the requests with five tabs open;
* the seconds of an epoch with the job's page open and without, in turns, in the same browser.

``--keep`` and ``--job`` take a job that has been made and stopped already. Run it on an idle
machine: a page, the local AWS and all functions share its processors.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, BrowserContext, CDPSession, Page, sync_playwright

from benchmarks.bench_workflow import local_aws
from benchmarks.console_figures import Figure, bursts, figure, requests, updates
from benchmarks.ending import ended
from benchmarks.long_job import finished, started_again, stopped_job, wait_for
from stepml.client import Client, EpochAttempt, Run, connect
from stepml.local.network import AWS_FILE
from stepml.packaging.sources import template_path
from tests.support.deployment import deploy

CHROMIUM = "/usr/bin/chromium"
WAIT_MS = 60_000
OPENINGS = 3
TURN = 5  # epochs with the page open, or without
# The page shows all: nothing is being read, and its parts are there.
SHOWN = """() => document.querySelector('#epochs') && document.querySelector('table tbody tr')
  && [...document.querySelectorAll('.notice.is-loading')].every((each) => !each.offsetParent)"""
# Notes when the newest finished epoch in the table of epochs changes, after it is on the screen.
NOTE_ROWS = """() => {
  const isEpochs = (each) => each.textContent.includes('Training loss');
  const body = [...document.querySelectorAll('table')].find(isEpochs).tBodies[0];
  window.rows = [];
  let last = '';
  const look = () => {
    const row = [...body.rows].find((each) => each.textContent.includes('succeeded'));
    const epoch = row?.querySelector('a')?.textContent ?? '';
    if (epoch === last) return;
    last = epoch;
    requestAnimationFrame(() => window.rows.push([Number(epoch), Date.now() / 1000]));
  };
  new MutationObserver(look).observe(
    body, {subtree: true, childList: true, characterData: true});
}"""


@dataclass(frozen=True)
class Console:
    """A console in a process of its own, and its log."""

    address: str
    log: Path
    pid: int

    def processor_seconds(self) -> float:
        """Return the time that processors have worked for it so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def lines(self) -> list[dict[str, Any]]:
        """Return the lines of its log so far."""
        whole = self.log.read_text().rpartition("\n")[0]
        return [json.loads(each) for each in whole.splitlines()]


@contextmanager
def console(endpoint_url: str, job: str) -> Iterator[Console]:
    """Run a console until the block ends."""
    with tempfile.TemporaryDirectory() as directory:
        log = Path(directory, "log")
        process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.console_process", endpoint_url, job, str(log)],
            stdout=subprocess.PIPE,
            text=True,
        )
        with process:
            assert process.stdout is not None
            yield Console(process.stdout.readline().strip(), log, process.pid)
            process.terminate()


def opened(context: BrowserContext, address: str) -> tuple[Page, float]:
    """Open a page, and return it with the seconds until it shows all."""
    page = context.new_page()
    began = time.monotonic()
    page.goto(address, wait_until="commit", timeout=WAIT_MS)
    page.wait_for_function(SHOWN, timeout=WAIT_MS)
    return page, time.monotonic() - began


def measure_opening(browser: Browser, endpoint_url: str, job: str, what: str) -> list[Figure]:
    """Measure how long the page of a job takes to open."""
    first, again, worked = [], [], []
    for _ in range(OPENINGS):
        with console(endpoint_url, job) as served, browser.new_context() as context:
            # The parts of the page that all pages have are in the browser's cache.
            context.new_page().goto(f"{served.address}/data", timeout=WAIT_MS)
            for seconds in (first, again):
                before = served.processor_seconds()
                page, took = opened(context, f"{served.address}/jobs/{job}")
                seconds.append(took)
                page.close()
            worked.append(served.processor_seconds() - before)
    return [
        figure(f"opening {what}, not read yet", "s", first, most=1.0),
        figure(f"opening {what}, read before", "s", again, most=1.0),
        figure("  of it the console's processor", "s", worked),
    ]


def measure_updates(
    browser: Browser, endpoint_url: str, run: Run, functions: str, most: float | None
) -> list[Figure]:
    """Measure updates of a job's page while ``4 * TURN`` epochs train.

    ``functions`` says what the functions do, and ``most`` is the target.
    """
    print(f"{functions}:")
    with console(endpoint_url, run.name) as served, browser.new_context() as context:
        page, _ = opened(context, f"{served.address}/jobs/{run.name}")
        page.evaluate(NOTE_ROWS)
        session = context.new_cdp_session(page)
        session.send("Performance.enable", {"timeDomain": "threadTicks"})
        before = finished(run)
        worked, drawn = served.processor_seconds(), task_seconds(session)
        wait_for(run, before + 4 * TURN)
        worked, drawn = served.processor_seconds() - worked, task_seconds(session) - drawn
        n_epochs = max(finished(run) - before, 1)
        rows = [(int(epoch), at) for epoch, at in page.evaluate("window.rows")]
        found = updates(served.lines(), rows)
    return [
        figure(
            "a new epoch: from its reading to its row", "s", [sum(each) for each in found], most
        ),
        figure("  of it the reading: four requests", "s", [reading for reading, _ in found]),
        figure("  of it the page", "s", [shown for _, shown in found]),
        figure("  the browser's processor, an epoch", "s", [drawn / n_epochs]),
        figure("  the console's processor, an epoch", "s", [worked / n_epochs]),
    ]


def measure_tabs(browser: Browser, endpoint_url: str, run: Run) -> list[Figure]:
    """Measure the requests with five tabs open, while ``2 * TURN`` epochs train."""
    with console(endpoint_url, run.name) as served, browser.new_context() as context:
        job = f"{served.address}/jobs/{run.name}"
        newest = finished(run)
        for path in (job, job, f"{job}?state=RunEpoch", f"{job}/epochs/{newest}", served.address):
            context.new_page().goto(path, timeout=WAIT_MS)
        time.sleep(2)
        began, worked = time.time(), served.processor_seconds()
        wait_for(run, finished(run) + 2 * TURN)
        took, worked = time.time() - began, served.processor_seconds() - worked
        all_calls = [each for each in served.lines() if "call" in each]
    calls = [each for each in all_calls if began <= each["at"] <= began + took]
    return [
        figure("five tabs: the console's processor", "/s", [worked / took]),
        *requests(calls, took),
        *bursts(all_calls),
    ]


def task_seconds(session: CDPSession) -> float:
    """Return the processor time of a tab's work so far."""
    metrics = session.send("Performance.getMetrics")["metrics"]
    return float(next(each["value"] for each in metrics if each["name"] == "TaskDuration"))


def measure_cost(browser: Browser, endpoint_url: str, run: Run) -> list[Figure]:
    """Measure epochs with the page open and without, in turns, until the job ends."""
    turns: list[tuple[int, int, bool]] = []  # epochs of the turn, and whether the page was open
    with console(endpoint_url, run.name) as served, browser.new_context() as context:
        job = f"{served.address}/jobs/{run.name}"
        page, _ = opened(context, job)  # the first reading is no part of the comparison
        while not run.state.ended:
            is_open = len(turns) % 2 == 1
            page.goto(job if is_open else "about:blank")
            begin = finished(run) + 2  # the epoch that trains now pays for opening the page
            wait_for(run, begin + TURN)
            turns.append((begin, begin + TURN, is_open))
    seconds = epoch_seconds(run.epochs)

    def mean(turn: tuple[int, int, bool]) -> float:
        return statistics.mean(seconds[epoch] for epoch in range(turn[0], turn[1]))

    whole = [turn for turn in turns if all(each in seconds for each in range(turn[0], turn[1]))]
    pairs = [(one, other) for one, other in pairwise(whole)]
    longer = [
        100 * (mean(one) / mean(other) - 1) if one[2] else 100 * (mean(other) / mean(one) - 1)
        for one, other in pairs
    ]
    shut = [mean(each) for each in whole if not each[2]]
    return [
        figure("an epoch without the page", "s", shut),
        figure("an epoch with the page open is longer by", "%", longer, most=3.0),
    ]


def epoch_seconds(attempts: Sequence[EpochAttempt]) -> dict[int, float]:
    """Return the seconds from the start of each epoch to that of the next."""
    return {
        one.epoch: (other.started_at - one.started_at).total_seconds()
        for one, other in pairwise(attempts)
    }


def main(arguments: Sequence[str]) -> int:
    """Measure, print the table, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--epochs", type=int, default=500)
    parser.add_argument("--workers", type=int, default=40)
    parser.add_argument("--left", type=int, default=80, help="epochs that are trained at last")
    parser.add_argument("--keep", type=Path, help="directory of a local AWS with the stopped job")
    parser.add_argument("--job", help="its name")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--targets", action="store_true", help="exit with 1 if one is missed")
    options = parser.parse_args(arguments)
    with ExitStack() as stack:
        keep = options.keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        job = options.job or made(keep, options)
        playwright = stack.enter_context(sync_playwright())
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        figures = [*measured_with_waits(browser, keep, job), *measured(browser, keep, job)]
        browser.close()
    return ended(options, figures)


def made(keep: Path, options: argparse.Namespace) -> str:
    """Return the name of a new job that has been stopped, on a local AWS kept in a directory."""
    with local_aws("--keep", str(keep)) as aws:
        deploy(aws.endpoint_url, template_path())
        client = Client(connect(aws.endpoint_url))
        return stopped_job(client, options.workers, options.epochs, options.left).name


def measured_with_waits(browser: Browser, keep: Path, job: str) -> list[Figure]:
    """Return the figures of the stopped job while it trains over a network like AWS's."""
    with local_aws("--keep", str(keep), "--network", str(AWS_FILE)) as aws:
        run = Client(connect(aws.endpoint_url)).find(job)
        again = started_again(run)
        figures = measure_updates(browser, aws.endpoint_url, again, "functions wait", most=0.2)
        figures += measure_tabs(browser, aws.endpoint_url, again)
        again.stop()
    return figures


def measured(browser: Browser, keep: Path, job: str) -> list[Figure]:
    """Return all figures of the stopped job, which trains to its end meanwhile."""
    with local_aws("--keep", str(keep)) as aws:
        run = Client(connect(aws.endpoint_url)).find(job)
        figures = measure_opening(browser, aws.endpoint_url, job, "a stopped job")
        again = started_again(run)
        figures += measure_updates(browser, aws.endpoint_url, again, "functions compute", None)
        figures += measure_cost(browser, aws.endpoint_url, again)
        return figures + measure_opening(browser, aws.endpoint_url, again.name, "a finished job")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
