"""Processes of `benchmarks.bench_neural`: a cold start of a function, the memory of a step."""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from lambdas.entry import MODULES_VARIABLE
from stepml.job.function_kinds import FUNCTION_KINDS
from tests.support.paths import ROOT

ROUNDS = 11
BATCH_SIZE = 8
MOST_START = 1.3
MOST_COPIES = 3  # of the parameters, beside what torch itself needs
_IMPORTS = """
import time
import {module}
print(time.process_time())
"""
_MB = 2**20


@dataclass(frozen=True, slots=True)
class ColdStart:
    """The seconds of processes that import and end: medians."""

    torch_s: float
    executor_s: float

    @property
    def ratio(self) -> float:
        return self.executor_s / self.torch_s

    @property
    def misses(self) -> list[str]:
        """Return a message for each missed target."""
        if self.ratio <= MOST_START:
            return []
        return [f"cold start: {self.ratio:.2f} × import torch, target ≤ {MOST_START}"]

    def row(self) -> str:
        """Return the figures as a line."""
        return (
            f"cold start: {self.executor_s:.2f} s of processor time, import torch "
            f"{self.torch_s:.2f} s, ratio {self.ratio:.2f}"
        )


@dataclass(frozen=True, slots=True)
class Peaks:
    """The most memory of processes that take a step."""

    network: str
    parameters_mb: float
    torch_mb: float
    executor_mb: float

    @property
    def copies(self) -> float:
        """The additional memory of the executor, in vectors of parameters."""
        return (self.executor_mb - self.torch_mb) / self.parameters_mb

    @property
    def misses(self) -> list[str]:
        """Return a message for each missed target."""
        if self.copies <= MOST_COPIES:
            return []
        return [f"{self.network}: torch's peak + {self.copies:.1f} × parameters, target ≤ 3"]

    @staticmethod
    def heading() -> str:
        """Return the names of the columns."""
        return f"{'peak MB':10} {'parameters':>10} {'torch':>7} {'executor':>8} {'copies':>6}"

    def row(self) -> str:
        """Return the figures as a line of the table."""
        return (
            f"{self.network:10} {self.parameters_mb:10.0f} {self.torch_mb:7.0f} "
            f"{self.executor_mb:8.0f} {self.copies:6.1f}"
        )


def cold_start() -> ColdStart:
    """Import torch, and what an executor with torch imports, in turn.

    As in a function's image, all modules are compiled: those of the first round, which does not
    count.
    """
    loaded = {MODULES_VARIABLE: ",".join(FUNCTION_KINDS["torch"].modules)}
    seconds: dict[str, list[float]] = {"torch": [], "lambdas.executor": []}
    with TemporaryDirectory() as compiled:
        environment = os.environ | loaded | {"PYTHONPYCACHEPREFIX": compiled}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        for _ in range(ROUNDS + 1):
            for module, each in seconds.items():
                code = _IMPORTS.format(module=module)
                each.append(float(output_of("-c", code, environment=environment)))
    return ColdStart(*(statistics.median(each[1:]) for each in seconds.values()))


def peaks(network: str) -> Peaks:
    """Take a step with a network in two processes."""
    by_kind = [output_of(__file__, network, kind).split() for kind in ("torch", "executor")]
    (n_parameters, theirs), (_, ours) = [[float(each) for each in line] for line in by_kind]
    return Peaks(network, 4 * n_parameters / _MB, theirs / 1024, ours / 1024)


def output_of(*arguments: str, environment: Mapping[str, str] | None = None) -> str:
    """Return the output of a new process of Python."""
    command = [sys.executable, *arguments]
    done = subprocess.run(
        command, check=True, capture_output=True, text=True, cwd=ROOT, env=environment
    )
    return done.stdout


def peak_kb() -> int:
    """Return the most memory that this process has had."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1])
    raise OSError("this system does not tell the peak of a process")


def take_step(network: str, kind: str) -> int:
    """Take steps with a network; return its number of parameters."""
    from benchmarks.neural_race import Case, images, lone_steps, network_of, training_loop
    from stepml.job import networks

    spec = {"resnet18": networks.Resnet18(), "resnet50": networks.Resnet50()}[network]
    case = Case(network, spec, BATCH_SIZE, steps=1, rounds=1)
    X, y = images(2 * BATCH_SIZE, seed=0)
    model = network_of(spec)
    if kind == "torch":
        for _ in training_loop(model.bound.module, case, X, y):
            pass
    else:
        lone_steps(case, X, y)
    return model.n_parameters


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("network")
    parser.add_argument("kind", choices=("torch", "executor"))
    given = parser.parse_args()
    print(take_step(given.network, given.kind), peak_kb())
