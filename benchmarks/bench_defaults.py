"""Measure jobs with nothing chosen by hand beside scikit-learn, and beside tuned jobs.

A job names data, label and model, and an algorithm or none (`chosen`). It runs with 4 workers over
Redis, on a local AWS of its own, with the features raw or standardised beforehand. All rows are for
training; loss and score are those of these rows. `gap` is the loss relative to scikit-learn's, on
standardised features. `tuned` has epochs and seconds of a job of that algorithm (for `chosen`, of
any) with fields by hand: the first within 1 % of the loss, with as few epochs as possible and a
learning rate, or rho, of a list. `ratio` is the time of the job relative to its time. A job before
them partitions the data.

    python benchmarks/bench_defaults.py [--sets digits,text] [--algorithms admm]
        [--csv PATH:MODEL] [--no-tuned] [--json PATH]

A CSV has a header, and the label in the last column. Run it on an idle machine.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sklearn.preprocessing import StandardScaler

from benchmarks.choices import some_of
from benchmarks.default_sets import SETS, DataSet, Result, from_csv
from benchmarks.json_file import write_json
from stepml.packaging.sources import resource_root
from tests.support.deployment import deploy
from tests.support.running_aws import RunningAws, running_aws

ALGORITHMS = ("chosen", "gradient_averaging", "model_averaging", "admm")
EPOCHS = (1, 2, 4, 8)  # of tuned jobs
RATES, RHOS = (0.03, 0.3, 3.0), (0.0003, 0.01, 0.3)
GOOD = 0.01  # gap of a job that has learnt
WORKERS, STEPS = 4, 50  # steps of an epoch of a tuned job
POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class Tuned:
    """A job with fields by hand."""

    algorithm: str
    epochs: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Figures:
    """A job beside scikit-learn."""

    data: str
    features: str  # raw or standardised
    algorithm: str
    loss: float
    score: float
    reference: Result
    epochs: int
    seconds: float
    warnings: list[str]  # their codes
    choices: dict[str, Any]
    tuned: Tuned | None = None

    @property
    def gap(self) -> float:
        """The loss relative to scikit-learn's: 0 if it is equal."""
        return self.loss / self.reference.loss - 1

    @property
    def ratio(self) -> float | None:
        """The seconds relative to those of the tuned job."""
        return None if self.tuned is None else self.seconds / self.tuned.seconds

    @staticmethod
    def heading() -> str:
        """Return the names of the columns."""
        return (
            f"{'':37} {'loss':>9} {'sklearn':>9} {'gap %':>7} {'score':>6} {'epochs':>6} "
            f"{'s':>5} {'tuned':>10} {'ratio':>5}"
        )

    def row(self) -> str:
        """Return the figures as a line of the table."""
        tuned = ""
        if self.tuned is not None:
            tuned = f"{self.tuned.epochs:4} {self.tuned.seconds:5.1f} {self.ratio:5.1f}"
        return (
            f"{self.data:10} {self.features:7.7} {self.algorithm:18} {self.loss:9.4g} "
            f"{self.reference.loss:9.4g} {100 * self.gap:7.2f} {self.score:6.4f} {self.epochs:6} "
            f"{self.seconds:5.1f} {tuned:16} {' '.join(self.warnings)}"
        ).rstrip()


class JobFailedError(RuntimeError):
    """A job has ended with an error."""


class Stack:
    """A local AWS with StepML."""

    def __init__(self, aws: RunningAws) -> None:
        template = resource_root() / "templates" / "template.yaml"
        self._outputs = deploy(aws.endpoint_url, template, parameters=aws.parameters)
        self._states, self._objects = aws.client("stepfunctions"), aws.client("s3")

    def upload(self, name: str, text: bytes) -> str:
        """Store an object and return its URI."""
        bucket = self._outputs["Bucket"]
        self._objects.put_object(Bucket=bucket, Key=f"data/{name}", Body=text)
        return f"s3://{bucket}/data/{name}"

    def run(self, job: dict[str, Any], name: str) -> tuple[dict[str, Any], float]:
        """Run a job to its end; return its report, and its seconds."""
        execution = self._states.start_execution(
            stateMachineArn=self._outputs["TrainStateMachineArn"], name=name, input=json.dumps(job)
        )["executionArn"]
        while (ended := self._states.describe_execution(executionArn=execution))[
            "status"
        ] == "RUNNING":
            time.sleep(POLL_S)
        if ended["status"] != "SUCCEEDED":
            raise JobFailedError(f"{name}: {ended.get('error')}: {ended.get('cause')}")
        report: dict[str, Any] = json.loads(ended["output"])
        return report, (ended["stopDate"] - ended["startDate"]).total_seconds()


class Bench:
    """The jobs of one data set."""

    def __init__(self, stack: Stack, data: DataSet) -> None:
        self._stack, self._data = stack, data
        self._reference = data.reference()
        self._kind = "libsvm" if data.is_sparse else "csv"
        self._uris = {"raw": self._uploaded("raw", data)}
        if not data.is_sparse:
            X = StandardScaler().fit_transform(data.X)
            scaled = DataSet(data.name, X, data.y, data.model)
            self._uris["standardised"] = self._uploaded("standardised", scaled)
        self.tuned = cache(self._tuned)

    def warm_up(self) -> None:
        """Run a job of each algorithm, which starts the functions."""
        for algorithm in ALGORITHMS[1:]:
            self._stack.run(self._job("raw", {"name": algorithm}), f"warm-up-{algorithm}")

    def partition(self, features: str) -> None:
        """Run a short job, which partitions the data for all others."""
        job = self._job(features, {"name": ALGORITHMS[1]}) | {"stop": {"max_epochs": 1}}
        self._stack.run(job, f"{self._data.name}-{features}-partition")

    def measure(self, features: str, algorithm: str, *, tuned: bool) -> Figures:
        """Return the figures of a job, and of a tuned one."""
        job = self._job(features, None if algorithm == "chosen" else {"name": algorithm})
        report, seconds = self._stack.run(job, f"{self._data.name}-{features}-{algorithm}")
        metrics = report["metrics"]
        return Figures(
            self._data.name,
            features,
            algorithm,
            report["loss"],
            metrics["r2" if self._data.is_regression else "accuracy"],
            self._reference,
            report["epochs"],
            seconds,
            [each["code"] for each in report["warnings"]],
            report["dataset"]["choices"],
            self.tuned(algorithm) if tuned else None,
        )

    @property
    def features(self) -> Sequence[str]:
        """The kinds of features."""
        return [*self._uris]

    def _uploaded(self, features: str, data: DataSet) -> str:
        return self._stack.upload(f"{data.name}-{features}.{self._kind}", data.text())

    def _tuned(self, algorithm: str) -> Tuned | None:
        """Return the fastest good job, or None if no job is good."""
        if algorithm == "chosen":
            found = [self.tuned(name) for name in ALGORITHMS[1:]]
            return min(filter(None, found), key=lambda each: each.seconds, default=None)
        for epochs in EPOCHS:
            for number, fields in enumerate(self._by_hand(algorithm)):
                job = self._job("raw", {"name": algorithm, **fields}) | {
                    "stop": {"max_epochs": epochs}
                }
                job["data"] |= {"standardise": not self._data.is_sparse}
                if self._data.is_regression:
                    job["model"] = {**job["model"], "scale_labels": True}
                name = f"{self._data.name}-{algorithm}-{epochs}-{number}"
                try:
                    report, seconds = self._stack.run(job, name)
                except JobFailedError:  # a rate was too large
                    continue
                if report["loss"] <= (1 + GOOD) * self._reference.loss:
                    return Tuned(algorithm, epochs, seconds)
        return None

    def _by_hand(self, algorithm: str) -> Sequence[dict[str, Any]]:
        if algorithm == "admm":
            return [{"rho": rho, "adaptive_rho": "relative"} for rho in RHOS]
        size = max(8, math.ceil(len(self._data.y) / WORKERS / STEPS))
        fields = {"batch_size": size, "momentum": 0.9, "schedule": "cosine"}
        return [{"learning_rate": rate, **fields} for rate in RATES]

    def _job(self, features: str, algorithm: dict[str, Any] | None) -> dict[str, Any]:
        data = {"uri": self._uris[features], "format": self._kind, "validation_fraction": 0}
        if not self._data.is_sparse:
            data |= {"label": 0, "header": False}
        return {
            "data": data,
            "workers": WORKERS,
            "model": self._data.model,
            "algorithm": algorithm,
            "exchange": {"channel": "redis"},
        }


def measure(stack: Stack, options: argparse.Namespace) -> Iterator[Figures]:
    """Yield the figures of each job, and print them as they come."""
    Bench(stack, SETS["wine"]()).warm_up()
    print(Figures.heading())
    sets = [SETS[name]() for name in options.sets]
    sets += [from_csv(Path(path), model) for path, _, model in map(_parts, options.csv)]
    for data in sets:
        bench = Bench(stack, data)
        for features in bench.features:
            bench.partition(features)
            for algorithm in options.algorithms:
                figures = bench.measure(features, algorithm, tuned=options.tuned)
                print(figures.row(), flush=True)
                yield figures


def _parts(text: str) -> tuple[str, str, str]:
    return text.rpartition(":")


def options_of(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    for name, choices in (("sets", tuple(SETS)), ("algorithms", ALGORITHMS)):
        text = f"some of {','.join(choices)}"
        parser.add_argument(f"--{name}", type=some_of(choices), default=[*choices], help=text)
    parser.add_argument("--csv", action="append", default=[], help="PATH:MODEL; may be repeated")
    tuned = argparse.BooleanOptionalAction
    parser.add_argument("--tuned", action=tuned, default=True, help="measure tuned jobs, too")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    return parser.parse_args(arguments)


def main() -> int:
    """Measure, print a table, write JSON."""
    options = options_of()
    with TemporaryDirectory() as state, running_aws(Path(state)) as aws:
        figures = list(measure(Stack(aws), options))
    write_json(
        options.json,
        [asdict(each) | {"gap": each.gap, "ratio": each.ratio} for each in figures],
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
