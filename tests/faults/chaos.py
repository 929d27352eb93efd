"""Kill functions and channels at random while jobs run: ``python -m tests.faults.chaos --help``.

Each job first runs undisturbed. Then a target that the seed chooses is killed every few seconds
until the job has ended. A failed job is redriven, a bounded number of times. It must reach the same
bits as the undisturbed run, soon after the last kill, and leave nothing behind.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stepml.job.channels import CHANNELS, PATTERNS
from stepml.packaging.sources import template_path
from tests.faults.settings import ALGORITHMS, WORKERS, Setting, all_settings
from tests.faults.stack import WatchedStack, busy
from tests.support.deployment import deploy
from tests.support.running_aws import running_aws

LOOK_S = 0.05  # for somebody to kill
MOST_S = 200.0  # that a job may take more than its undisturbed run and the time of kills


@dataclass(frozen=True)
class Soak:
    """Duration, frequency and targets of the kills."""

    seed: int
    seconds: float = 120.0  # of kills, for each job; then it runs undisturbed
    epochs: int = 50
    pauses_s: tuple[float, float] = (1.0, 5.0)  # between kills
    channel_share: float = 0.15  # share of the kills, in jobs whose channel is a process
    redrives: int = 10  # at most
    workers: int = WORKERS  # more than 40 train in groups
    first: str = ""  # function that is killed first, as soon as it runs; empty: any, after a pause


@dataclass
class Survival:
    """The kills of a job, and its result."""

    setting: Setting
    seed: int
    calm_s: float = 0.0
    seconds: float = 0.0
    killed: Counter[str] = field(default_factory=Counter)  # by function, and the channel
    redrives: int = 0
    verdict: str = ""  # empty if it succeeded

    def __str__(self) -> str:
        killed = ", ".join(f"{n} {what}" for what, n in sorted(self.killed.items())) or "nothing"
        return (
            f"{self.setting.name:40} seed {self.seed:3} {self.seconds:6.1f} s "
            f"({self.calm_s:.1f} s undisturbed) {self.redrives:2} redrives  "
            f"{self.verdict or 'same bits, nothing left'}  killed: {killed}"
        )


class Killer:
    """Kills a target every few seconds, chosen by the soak's seed."""

    def __init__(self, stack: WatchedStack, soak: Soak, survival: Survival) -> None:
        self._stack = stack
        self._soak = soak
        self._killed = survival.killed
        self._channel = survival.setting.channel
        # Not the seed alone: each job has other kills.
        self._random = random.Random(f"{soak.seed} {survival.setting.name}")
        self._ends_at = time.monotonic() + soak.seconds
        self._due = time.monotonic() + (0.0 if soak.first else self._pause_s())

    def strike_if_due(self) -> None:
        """Kill a target if it is time and there is one.

        Without one, the pause passes all the same: a kill that waited for the next call would
        strike every retry at its very beginning.
        """
        now = time.monotonic()
        if not self._due <= now < self._ends_at:
            return
        awaits_first = bool(self._soak.first) and not self._killed
        if self._strike() or not awaits_first:
            self._due = now + self._pause_s()

    def _pause_s(self) -> float:
        return self._random.uniform(*self._soak.pauses_s)

    def _strike(self) -> bool:
        running = busy(self._stack.aws)
        if not self._killed and self._soak.first:
            running = [each for each in running if _name(each) == self._soak.first]
        elif self._random.random() < self._soak.channel_share:
            servers = {cache.name: cache.pid for cache in self._stack.aws.caches()}
            if self._channel in servers:
                return self._kill(self._channel, servers[self._channel])
        if not running:
            return False
        chosen = self._random.choice(running)
        return self._kill(_name(chosen), chosen["pid"])

    def _kill(self, what: str, pid: int | None) -> bool:
        if pid is None:  # it is starting
            return False
        with suppress(ProcessLookupError):  # it has just ended
            os.kill(pid, signal.SIGKILL)
            self._killed[what] += 1
            return True
        return False


def _name(environment: Mapping[str, Any]) -> str:
    """Return the name of a function without its stack's."""
    return str(environment["function"]).partition("-")[2]


def survive(stack: WatchedStack, setting: Setting, soak: Soak, uri: str, name: str) -> Survival:
    """Run a job undisturbed, then with kills, and compare."""
    job = setting.job(uri, soak.epochs) | {"workers": soak.workers}
    survival = Survival(setting, soak.seed)
    began = time.monotonic()
    calm = stack.ended(stack.start(job, f"{name}-calm"))
    survival.calm_s = time.monotonic() - began
    if calm["status"] != "SUCCEEDED":
        survival.verdict = f"fails undisturbed: {calm.get('cause', '')[:500]}"
        return survival
    began = time.monotonic()
    ended = _under_fire(stack, stack.start(job, name), soak, survival)
    survival.seconds = time.monotonic() - began
    survival.verdict = _verdict(stack, name, ended, soak, survival)
    return survival


def _verdict(
    stack: WatchedStack, name: str, ended: dict[str, Any], soak: Soak, survival: Survival
) -> str:
    if ended["status"] != "SUCCEEDED":
        return f"{ended['status']}: {ended.get('cause', '')[:500]}"
    if survival.setting.has_fixed_bits and stack.bits(name) != stack.bits(f"{name}-calm"):
        return "OTHER BITS"
    if left := stack.left_behind(name):
        return f"LEFT BEHIND: {', '.join(left)}"
    if survival.seconds > soak.seconds + survival.calm_s + MOST_S:
        return "LATE"
    return ""


def _under_fire(
    stack: WatchedStack, execution: str, soak: Soak, survival: Survival
) -> dict[str, Any]:
    killer = Killer(stack, soak, survival)
    states = stack.aws.client("stepfunctions")
    deadline = time.monotonic() + 2 * soak.seconds + 900  # of a job that hangs
    while True:
        described: dict[str, Any] = states.describe_execution(executionArn=execution)
        if described["status"] == "FAILED" and survival.redrives < soak.redrives:
            survival.redrives += 1
            states.redrive_execution(executionArn=execution)
        elif described["status"] != "RUNNING" or time.monotonic() > deadline:
            return described
        killer.strike_if_due()
        time.sleep(LOOK_S)


def main(arguments: Sequence[str] | None = None) -> int:
    """Soak the chosen settings, one after another; return 1 if one does not come through."""
    options = _parser().parse_args(arguments)
    chosen = [
        each
        for each in all_settings()
        if each.algorithm in options.algorithms
        and each.channel in options.channels
        and each.pattern in options.patterns
    ]
    print(
        f"{options.runs} runs of {len(chosen)} settings, {options.epochs} epochs, "
        f"{options.seconds:g} s of kills a job",
        flush=True,
    )
    lost = 0
    with (
        tempfile.TemporaryDirectory() as state,
        running_aws(Path(state)) as aws,
        _busy_cores(options.busy),
    ):
        changeable = aws.parameters | {"FunctionVersions": "off"}  # see `hand_over_after`
        outputs = deploy(aws.endpoint_url, template_path(), parameters=changeable)
        stack = WatchedStack(aws, outputs)
        if options.handover:
            stack.hand_over_after(options.handover)
        uri = stack.upload_rows(0)
        for number in range(options.runs):
            setting = chosen[number % len(chosen)]
            soak = Soak(
                options.seed + number,
                options.seconds,
                options.epochs,
                pauses_s=tuple(options.pauses),
                channel_share=options.channel_share,
                redrives=options.redrives,
                workers=options.workers,
            )
            survival = survive(stack, setting, soak, uri, f"{setting.name}-{soak.seed}")
            lost += bool(survival.verdict)
            print(survival, flush=True)
    print(f"{options.runs - lost} of {options.runs} jobs came through")
    return 1 if lost else 0


@contextmanager
def _busy_cores(number: int) -> Iterator[None]:
    """Keep processor cores busy with other work until the block ends."""
    burners = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(number)]
    try:
        yield
    finally:
        for each in burners:
            each.kill()
            each.wait()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.chaos", description=__doc__)
    settings = len(all_settings())
    parser.add_argument("--seed", type=int, default=0, help="of the first run; then one more each")
    parser.add_argument(
        "--runs", type=int, default=settings, help=f"one setting after another; {settings} exist"
    )
    parser.add_argument(
        "--seconds", type=float, default=Soak.seconds, help="of kills, for each job"
    )
    parser.add_argument("--epochs", type=int, default=Soak.epochs)
    parser.add_argument("--redrives", type=int, default=Soak.redrives, help="of a job, at most")
    parser.add_argument(
        "--pauses", type=float, nargs=2, default=Soak.pauses_s, help="seconds between kills"
    )
    parser.add_argument("--channel-share", type=float, default=Soak.channel_share, help="of kills")
    parser.add_argument("--workers", type=int, default=WORKERS, help="above 40 in groups")
    parser.add_argument("--handover", type=int, help="epochs that one execution trains")
    parser.add_argument("--busy", type=int, default=0, help="cores with other work")
    for what, names in (
        ("algorithms", [*ALGORITHMS]),
        ("channels", [*CHANNELS]),
        ("patterns", [*PATTERNS]),
    ):
        parser.add_argument(f"--{what}", nargs="+", choices=names, default=names)
    return parser


if __name__ == "__main__":
    sys.exit(main())
