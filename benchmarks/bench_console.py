"""Measure the console with a long job on this machine: 500 epochs of 40 workers.

It makes the job on a local AWS of its own, which takes ten minutes, and stops it before its last
epochs. Then it measures in headless Chromium

* opening the page of the stopped job, and of the finished one: from the click until the page shows
  all, by a console that has not read the job yet, and by one that has;
* while the last epochs are trained, with five tabs open: the requests to Step Functions, and the
  time from the beginning of a reading that finds a new epoch until its row is on the screen;
* the seconds of an epoch with the job's page open and without, in turns, in the same browser.

``--endpoint-url`` and ``--job`` take a job that has been made and stopped already. Run it on an
idle machine: a page, the local AWS and all functions share its processors.
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
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, BrowserContext, CDPSession, Page, sync_playwright

from benchmarks.bench_workflow import local_aws
from benchmarks.console_figures import Figure, figure
from benchmarks.ending import ended
from benchmarks.long_job import finished, stopped_job, wait_for
from stepml.client import Client, EpochAttempt, Run, connect
from stepml.packaging.sources import template_path
from tests.support.deployment import deploy

CHROMIUM = "/usr/bin/chromium"
WAIT_MS = 60_000
OPENINGS = 3
TURN = 5  # epochs with the page open, or without
QUOTAS = {"DescribeExecution": 15, "GetExecutionHistory": 20}  # requests a second, of AWS
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


def measure_live(browser: Browser, endpoint_url: str, run: Run) -> list[Figure]:
    """Measure requests and updates with five tabs open, while two times ``TURN`` epochs train."""
    with console(endpoint_url, run.name) as served, browser.new_context() as context:
        job = f"{served.address}/jobs/{run.name}"
        watched, _ = opened(context, job)
        watched.evaluate(NOTE_ROWS)
        newest = finished(run)
        for path in (job, f"{job}?state=RunEpoch", f"{job}/epochs/{newest}", served.address):
            context.new_page().goto(path, timeout=WAIT_MS)
        watched.bring_to_front()  # others are not drawn
        time.sleep(2)
        session = context.new_cdp_session(watched)
        session.send("Performance.enable")
        began, worked, drawn = time.time(), served.processor_seconds(), task_seconds(session)
        wait_for(run, finished(run) + 2 * TURN)
        took, worked = time.time() - began, served.processor_seconds() - worked
        drawn = task_seconds(session) - drawn
        lines = served.lines()
        rows = [(int(epoch), at) for epoch, at in watched.evaluate("window.rows")]
    readings = [each["seconds"] for each in lines if "seconds" in each and each["at"] > began]
    all_calls = [each for each in lines if "call" in each]
    calls = [each for each in all_calls if began <= each["at"] <= began + took]
    return [
        figure("a new epoch: from its reading to its row", "s", updates(lines, rows), most=0.2),
        figure("  of it the reading", "s", readings),
        figure("  of it the browser's work, with that between", "s", [drawn / max(len(rows), 1)]),
        figure("five tabs: the console's processor", "/s", [worked / took]),
        *requests(calls, took),
        *bursts(all_calls),
    ]


def task_seconds(session: CDPSession) -> float:
    """Return the time that a tab has worked so far."""
    metrics = session.send("Performance.getMetrics")["metrics"]
    return float(next(each["value"] for each in metrics if each["name"] == "TaskDuration"))


def updates(lines: Sequence[dict[str, Any]], rows: Sequence[tuple[int, float]]) -> list[float]:
    """Return the seconds from the reading that found each epoch until its row was shown."""
    found: dict[int, float] = {}
    for line in lines:
        if "finished" in line:
            found.setdefault(line["finished"], line["at"])
    return [at - found[epoch] for epoch, at in rows if epoch in found and at >= found[epoch]]


def requests(calls: Sequence[dict[str, Any]], seconds: float) -> list[Figure]:
    """Return the requests a second, by operation."""
    counted = Counter(each["call"] for each in calls)
    return [
        figure(f"five tabs: {call}", "/s", [n / seconds], most=QUOTAS.get(call))
        for call, n in counted.most_common()
    ]


def bursts(calls: Sequence[dict[str, Any]]) -> list[Figure]:
    """Return the most requests within a second, as when the tabs were opened."""
    made = []
    for call in QUOTAS:
        times = sorted(each["at"] for each in calls if each["call"] == call)
        most = max((sum(at <= other < at + 1 for other in times) for at in times), default=0)
        made.append(figure(f"five tabs: most {call} in a second", "", [most]))
    return made


def measure_cost(browser: Browser, endpoint_url: str, run: Run) -> list[Figure]:
    """Measure epochs with the page open and without, in turns, until the job ends."""
    turns: list[tuple[int, int, bool]] = []  # epochs of the turn, and whether the page was open
    with console(endpoint_url, run.name) as served, browser.new_context() as context:
        page = context.new_page()
        while not run.state.ended:
            is_open = len(turns) % 2 == 0
            page.goto(f"{served.address}/jobs/{run.name}" if is_open else "about:blank")
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
    parser.add_argument("--endpoint-url", help="of a local AWS with the stopped job")
    parser.add_argument("--job", help="its name")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--targets", action="store_true", help="exit with 1 if one is missed")
    options = parser.parse_args(arguments)
    with ExitStack() as stack:
        endpoint_url = options.endpoint_url or deployed(stack)
        client = Client(connect(endpoint_url))
        run = (
            client.find(options.job)
            if options.job
            else stopped_job(client, options.workers, options.epochs, options.left)
        )
        playwright = stack.enter_context(sync_playwright())
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        figures = measured(browser, endpoint_url, run)
        browser.close()
    return ended(options, figures)


def deployed(stack: ExitStack) -> str:
    """Return the address of a new local AWS with StepML."""
    aws = stack.enter_context(local_aws())
    deploy(aws.endpoint_url, template_path())
    return aws.endpoint_url


def measured(browser: Browser, endpoint_url: str, run: Run) -> list[Figure]:
    """Return all figures of a stopped job, which trains to its end meanwhile."""
    figures = measure_opening(browser, endpoint_url, run.name, "a stopped job")
    before = finished(run)
    run.retry()
    wait_for(run, before + 2)  # its functions are warm
    for measure in (measure_live, measure_cost):
        figures += measure(browser, endpoint_url, run)
    return figures + measure_opening(browser, endpoint_url, run.name, "a finished job")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
