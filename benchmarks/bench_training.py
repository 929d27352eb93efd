"""Measure a whole job, from start-execution to SUCCEEDED, on each channel.

100,000 rows of 28 numbers, 4 workers, 10 epochs, batches of 1,000 rows a worker, learning rate 0.1,
pattern reduce, with the real template on a local AWS of its own. An earlier job has made the
shards, and another on the same channel has warmed the functions.

`epochs` is the sum of the epochs' times, each from its child execution's start to its report.
`executors` is the sum over each epoch's slowest rank. The difference between them is the
workflow's.

    python benchmarks/bench_training.py [--channels redis,s3] [--runs 3] [--targets] [--json PATH]

Figures are medians (minimum – maximum). Run it on an idle machine.
"""

from __future__ import annotations

import argparse
import io
import json
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from benchmarks.choices import some_of
from benchmarks.ending import ended
from benchmarks.exchange_figures import CACHES
from stepml.job.channels import CHANNELS
from stepml.packaging.sources import resource_root
from tests.support.deployment import deploy
from tests.support.running_aws import RunningAws, running_aws

ALGORITHMS = ("model_averaging", "gradient_averaging")
N_SAMPLES, N_FEATURES = 100_000, 28
SEED, STEEPNESS = 0, 2.04  # scikit-learn then reaches a loss of 0.458 on the validation rows
WORKERS, EPOCHS = 4, 10
WARM_UP_EPOCHS = 2
WAIT_S = 300.0
POLL_S = 0.1  # each poll slows the execution
TARGET_LOSS = 0.462


@dataclass(frozen=True, slots=True)
class Training:
    """The figures of some runs of a job."""

    channel: str
    algorithm: str
    seconds: list[float]
    epochs_s: list[float]
    executors_s: list[float]
    loss: float  # on the validation rows
    target_s: float | None
    target_loss: float | None

    @classmethod
    def of(cls, channel: str, algorithm: str, runs: Sequence[dict[str, Any]]) -> Training:
        """Extract the figures from the executions' descriptions."""
        reports = [json.loads(run["output"]) for run in runs]
        return cls(
            channel,
            algorithm,
            [(run["stopDate"] - run["startDate"]).total_seconds() for run in runs],
            [sum(each["seconds"] for each in report["history"]) for report in reports],
            [sum(max(e["executor_seconds"]) for e in report["history"]) for report in reports],
            reports[0]["loss"],
            _target_s(channel, algorithm),
            TARGET_LOSS if algorithm == "model_averaging" else None,
        )

    @property
    def misses(self) -> list[str]:
        """Return a message for each missed target."""
        return [
            f"{self.channel} {self.algorithm}: {name} {value:.4g}, target ≤ {most:g}"
            for name, value, most in (
                ("seconds", statistics.median(self.seconds), self.target_s),
                ("loss", self.loss, self.target_loss),
            )
            if most is not None and value > most
        ]

    @staticmethod
    def heading() -> str:
        """Return the names of the columns."""
        return f"{'':28} {'s':>6} {'(min – max)':>15} {'epochs':>7} {'executors':>9} {'loss':>7}"

    def row(self, *, with_target: bool) -> str:
        """Return the figures as a line of the table."""
        spread = f"({min(self.seconds):.2f} – {max(self.seconds):.2f})"
        row = (
            f"{self.channel:9} {self.algorithm:18} {statistics.median(self.seconds):6.2f} "
            f"{spread:>15} {statistics.median(self.epochs_s):7.2f} "
            f"{statistics.median(self.executors_s):9.2f} {self.loss:7.4f}"
        )
        if not with_target or self.target_s is None:
            return row
        return f"{row} {'!' if self.misses else ' '}≤{self.target_s:g}"


def _target_s(channel: str, algorithm: str) -> float | None:
    if algorithm == "model_averaging" or channel in CACHES:
        return 3
    return 20 if channel == "s3" else None


class Stack:
    """A local AWS with StepML and the data."""

    def __init__(self, aws: RunningAws) -> None:
        template = resource_root() / "templates" / "template.yaml"
        outputs = deploy(aws.endpoint_url, template, parameters=aws.parameters)
        self._machine = outputs["TrainStateMachineArn"]
        self._states = aws.client("stepfunctions")
        self._uri = f"s3://{outputs['Bucket']}/data/rows.csv"
        aws.client("s3").put_object(Bucket=outputs["Bucket"], Key="data/rows.csv", Body=rows())

    def run(self, channel: str, algorithm: str, epochs: int, name: str) -> dict[str, Any]:
        """Run a job to its end and return the execution's description."""
        job = {
            "data": {
                "uri": self._uri,
                "format": "csv",
                "label": 0,
                "header": False,
                "standardise": False,
            },
            "workers": WORKERS,
            "model": {"name": "logistic_regression"},
            "algorithm": {"name": algorithm, "learning_rate": 0.1, "batch_size": 1000},
            "exchange": {"channel": channel, "pattern": "reduce"},
            "stop": {"max_epochs": epochs},
        }
        execution = self._states.start_execution(
            stateMachineArn=self._machine, name=name, input=json.dumps(job)
        )["executionArn"]
        deadline = time.monotonic() + WAIT_S
        while (ended := self._states.describe_execution(executionArn=execution))[
            "status"
        ] == "RUNNING":
            if time.monotonic() > deadline:
                raise TimeoutError(f"{name} is still running after {WAIT_S:g} s")
            time.sleep(POLL_S)
        if ended["status"] != "SUCCEEDED":
            raise RuntimeError(f"{name}: {ended.get('error')}: {ended.get('cause')}")
        description: dict[str, Any] = ended
        return description


def rows() -> bytes:
    """Return rows of two classes, separated by a plane except for noise; the label comes first."""
    rng = np.random.default_rng(SEED)
    X = rng.normal(size=(N_SAMPLES, N_FEATURES)).astype(np.float32)
    w = rng.normal(size=N_FEATURES)
    scores = X @ (STEEPNESS * w / np.linalg.norm(w))
    y = rng.random(N_SAMPLES) < 1 / (1 + np.exp(-scores))
    text = io.BytesIO()
    np.savetxt(text, np.column_stack([y, X]), fmt=["%d"] + ["%.6g"] * N_FEATURES, delimiter=",")
    return text.getvalue()


def measure(stack: Stack, options: argparse.Namespace) -> Iterator[Training]:
    """Yield the figures of each job, and print them as they come."""
    print(Training.heading())
    for channel in options.channels:
        stack.run(channel, ALGORITHMS[0], WARM_UP_EPOCHS, f"warm-up-{channel}")
        for algorithm in options.algorithms:
            name = f"{channel}-{algorithm}"
            runs = [
                stack.run(channel, algorithm, EPOCHS, f"{name}-{number}")
                for number in range(options.runs)
            ]
            figures = Training.of(channel, algorithm, runs)
            print(figures.row(with_target=options.targets), flush=True)
            yield figures


def options_of(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    for name, choices in (("channels", CHANNELS), ("algorithms", ALGORITHMS)):
        text = f"some of {','.join(choices)}"
        parser.add_argument(f"--{name}", type=some_of(choices), default=[*choices], help=text)
    parser.add_argument("--runs", type=int, default=3, help="runs of each job")
    parser.add_argument("--targets", action="store_true", help="fail if a target is missed")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    return parser.parse_args(arguments)


def main() -> int:
    """Measure, print a table, write JSON."""
    options = options_of()
    with TemporaryDirectory() as state, running_aws(Path(state)) as aws:
        figures = list(measure(Stack(aws), options))
    return ended(options, figures)


if __name__ == "__main__":
    sys.exit(main())
