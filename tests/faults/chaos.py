"""Kill functions and Redis at random while jobs run: ``python -m tests.faults.chaos --help``.

Each job first runs undisturbed. Then a target that the seed chooses is killed every few seconds
until the job has ended. A failed job is redriven, a bounded number of times. It must reach the same
bits as the undisturbed run, and leave nothing behind.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stepml.local.deploy import deploy
from stepml.packaging.sources import template_path
from tests.faults.settings import SETTINGS, Setting
from tests.faults.stack import SharedAws, WatchedStack, busy
from tests.support.running_aws import running_aws

LOOK_S = 0.05  # for somebody to kill


@dataclass(frozen=True)
class Soak:
    """Duration, frequency and targets of the kills."""

    seed: int
    seconds: float = 120.0  # of kills, for each job; then it runs undisturbed
    epochs: int = 50
    pauses_s: tuple[float, float] = (1.0, 5.0)  # between kills
    redis_share: float = 0.15  # share of the kills, in jobs that use Redis
    # Redis stays while a single function runs. A rank whose peers have ended their epoch waits for
    # seven minutes for the sums that Redis has lost.
    spares_last_rank: bool = False
    redrives: int = 10  # at most


@dataclass
class Survival:
    """The kills of a job, and its result."""

    setting: Setting
    seconds: float = 0.0
    killed: Counter[str] = field(default_factory=Counter)  # by function, and redis
    redrives: int = 0
    verdict: str = ""  # empty if it succeeded

    def __str__(self) -> str:
        killed = ", ".join(f"{n} {what}" for what, n in sorted(self.killed.items())) or "nothing"
        return (
            f"{self.setting.name:32} {self.seconds:6.1f} s  {self.redrives:2} redrives  "
            f"{self.verdict or 'same bits, nothing left':24}  killed: {killed}"
        )


class Killer:
    """Kills a target every few seconds, chosen by the soak's seed."""

    def __init__(self, stack: WatchedStack, soak: Soak, survival: Survival) -> None:
        self._stack = stack
        self._soak = soak
        self._killed = survival.killed
        self._uses_redis = survival.setting.channel == "redis"
        # Not the seed alone: each job has other kills.
        self._random = random.Random(f"{soak.seed} {survival.setting.name}")
        self._ends_at = time.monotonic() + soak.seconds
        self._due = time.monotonic() + self._pause_s()

    def strike_if_due(self) -> None:
        """Kill a target if it is time and there is one."""
        now = time.monotonic()
        if self._due <= now < self._ends_at and self._strike():
            self._due = now + self._pause_s()

    def _pause_s(self) -> float:
        return self._random.uniform(*self._soak.pauses_s)

    def _strike(self) -> bool:
        running = busy(self._stack.aws)
        if self._uses_redis and self._random.random() < self._soak.redis_share:
            if self._soak.spares_last_rank and len(running) < 2:
                return False
            caches = {cache.name: cache.pid for cache in self._stack.aws.caches()}
            return self._kill("redis", caches["redis"])
        if not running:
            return False
        chosen = self._random.choice(running)
        return self._kill(chosen["function"].partition("-")[2], chosen["pid"])

    def _kill(self, what: str, pid: int | None) -> bool:
        if pid is None:  # it is starting
            return False
        with suppress(ProcessLookupError):  # it has just ended
            os.kill(pid, signal.SIGKILL)
            self._killed[what] += 1
            return True
        return False


def survive(stack: WatchedStack, setting: Setting, soak: Soak, uri: str, name: str) -> Survival:
    """Run a job undisturbed, then with kills, and compare."""
    job, survival = setting.job(uri, soak.epochs), Survival(setting)
    calm = stack.start(job, f"{name}-calm")
    if stack.ended(calm)["status"] != "SUCCEEDED":
        survival.verdict = "fails undisturbed"
        return survival
    began = time.monotonic()
    ended = _under_fire(stack, stack.start(job, name), soak, survival)
    survival.seconds = time.monotonic() - began
    if ended["status"] != "SUCCEEDED":
        survival.verdict = f"{ended['status']}: {ended.get('cause', '')[:500]}"
    elif stack.bits(name) != stack.bits(f"{name}-calm"):
        survival.verdict = "OTHER BITS"
    elif left := stack.left_behind(name):
        survival.verdict = f"LEFT BEHIND: {', '.join(left)}"
    return survival


def _under_fire(
    stack: WatchedStack, execution: str, soak: Soak, survival: Survival
) -> dict[str, Any]:
    killer = Killer(stack, soak, survival)
    states = stack.aws.client("stepfunctions")
    # Time-outs of Tasks and epochs end hanging functions; a job that takes longer is a defect.
    deadline = time.monotonic() + 2 * soak.seconds + 900
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
    """Soak each chosen setting in turn; return the number of failures."""
    options = _parser().parse_args(arguments)
    soak = Soak(options.seed, options.seconds, options.epochs, redrives=options.redrives)
    chosen = [
        each
        for each in SETTINGS
        if each.algorithm in options.algorithms and each.channel in options.channels
    ]
    print(f"seed {soak.seed}, {soak.epochs} epochs, {soak.seconds:g} s of kills a job", flush=True)
    lost = 0
    with tempfile.TemporaryDirectory() as state, running_aws(Path(state)) as aws:
        outputs = deploy(aws.endpoint_url, template_path(), parameters=aws.parameters)
        stack = WatchedStack(SharedAws(aws.endpoint_url, aws.process), outputs)
        uri = stack.upload_rows(0)
        for setting in chosen:
            survival = survive(stack, setting, soak, uri, setting.name)
            lost += bool(survival.verdict)
            print(survival, flush=True)
    print(f"{len(chosen) - lost} of {len(chosen)} jobs came through")
    return 1 if lost else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.chaos", description=__doc__)
    algorithms = sorted({each.algorithm for each in SETTINGS})
    channels = sorted({each.channel for each in SETTINGS})
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--seconds", type=float, default=Soak.seconds, help="of kills, for each job"
    )
    parser.add_argument("--epochs", type=int, default=Soak.epochs)
    parser.add_argument("--redrives", type=int, default=Soak.redrives, help="of a job, at most")
    parser.add_argument("--algorithms", nargs="+", choices=algorithms, default=algorithms)
    parser.add_argument("--channels", nargs="+", choices=channels, default=channels)
    return parser


if __name__ == "__main__":
    sys.exit(main())
