"""Measure jobs with nothing chosen by hand beside scikit-learn, and beside tuned jobs.

A job names data, label and model, and an algorithm or none (`chosen`). It runs with 4 workers over
Redis, on a local AWS of its own, with the features raw or standardised beforehand. All rows are for
training; loss and score are those of these rows. `gap` is the loss relative to scikit-learn's, on
standardised features. With `--tuned`, the fastest job follows that comes within 1 % with a learning
rate of a list and momentum, in a fifth, a half or all of the epochs.

    python benchmarks/bench_defaults.py [--sets digits,text] [--algorithms admm]
        [--csv PATH:MODEL] [--tuned] [--json PATH]

A CSV has a header, and the label in the last column. Run it on an idle machine.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sklearn.preprocessing import StandardScaler

from benchmarks.choices import some_of
from benchmarks.default_sets import SETS, DataSet, Result, from_csv
from stepml.local.deploy import deploy
from stepml.packaging.sources import resource_root
from tests.support.running_aws import RunningAws, running_aws

ALGORITHMS = ("chosen", "gradient_averaging", "model_averaging", "admm")
RATES, SHARES = (0.01, 0.1, 1.0, 10.0), (5, 2, 1)
GOOD = 0.01  # gap of a job that has learnt
POLL_S = 0.2


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
    tuned_seconds: float | None = None

    @property
    def gap(self) -> float:
        """The loss relative to scikit-learn's: 0 if it is equal."""
        return self.loss / self.reference.loss - 1

    @staticmethod
    def heading() -> str:
        """Return the names of the columns."""
        return (
            f"{'':37} {'loss':>9} {'sklearn':>9} {'gap %':>7} {'score':>6} {'epochs':>6} "
            f"{'s':>5} {'tuned':>5}"
        )

    def row(self) -> str:
        """Return the figures as a line of the table."""
        tuned = "" if self.tuned_seconds is None else f"{self.tuned_seconds:5.1f}"
        return (
            f"{self.data:10} {self.features:7.7} {self.algorithm:18} {self.loss:9.4g} "
            f"{self.reference.loss:9.4g} {100 * self.gap:7.2f} {self.score:6.4f} {self.epochs:6} "
            f"{self.seconds:5.1f} {tuned:>5} {' '.join(self.warnings)}"
        ).rstrip()


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
            raise RuntimeError(f"{name}: {ended.get('error')}: {ended.get('cause')}")
        report: dict[str, Any] = json.loads(ended["output"])
        return report, (ended["stopDate"] - ended["startDate"]).total_seconds()


class Bench:
    """The jobs of one data set."""

    def __init__(self, stack: Stack, data: DataSet, features: str) -> None:
        self._stack, self._data, self._features = stack, data, features
        self._reference = data.reference()
        if features == "standardised":
            X = StandardScaler().fit_transform(data.X)
            data = DataSet(data.name, X, data.y, data.model)
        kind = "libsvm" if data.is_sparse else "csv"
        uri = stack.upload(f"{data.name}-{features}.{kind}", data.text())
        self._fields = {"uri": uri, "format": kind, "validation_fraction": 0}
        if not data.is_sparse:
            self._fields |= {"label": 0, "header": False}

    def measure(self, algorithm: str, *, tuned: bool) -> Figures:
        """Return the figures of a job, and of tuned ones."""
        job = self._job(None if algorithm == "chosen" else {"name": algorithm})
        name = f"{self._data.name}-{self._features}-{algorithm}"
        report, seconds = self._stack.run(job, name)
        metrics = report["metrics"]
        return Figures(
            self._data.name,
            self._features,
            algorithm,
            report["loss"],
            metrics["r2" if self._data.is_regression else "accuracy"],
            self._reference,
            report["epochs"],
            seconds,
            [each["code"] for each in report["warnings"]],
            report["dataset"]["choices"],
            self._tuned_seconds(algorithm, report, name) if tuned else None,
        )

    def _tuned_seconds(self, algorithm: str, report: dict[str, Any], name: str) -> float | None:
        """Return the time of the fastest good job of some tuned ones, or None."""
        if "averaging" not in algorithm:
            return None
        size = report["spec"]["algorithm"]["batch_size"]
        for share in SHARES:
            epochs = max(1, report["epochs"] // share)
            for rate in RATES:
                fields = {"learning_rate": rate, "momentum": 0.9, "schedule": "cosine"}
                job = self._job({"name": algorithm, "batch_size": size, **fields})
                job["stop"] = {"max_epochs": epochs}
                job["data"] |= {"standardise": not self._data.is_sparse}
                if self._data.is_regression:
                    job["model"] = {**job["model"], "scale_labels": True}
                found, seconds = self._stack.run(job, f"{name}-{epochs}-{RATES.index(rate)}")
                if found["loss"] <= (1 + GOOD) * self._reference.loss:
                    return seconds
        return None

    def _job(self, algorithm: dict[str, Any] | None) -> dict[str, Any]:
        return {
            "data": dict(self._fields),
            "model": self._data.model,
            "algorithm": algorithm,
            "exchange": {"channel": "redis"},
        }


def measure(stack: Stack, options: argparse.Namespace) -> Iterator[Figures]:
    """Yield the figures of each job, and print them as they come."""
    print(Figures.heading())
    sets = [SETS[name]() for name in options.sets]
    sets += [from_csv(Path(path), model) for path, _, model in map(_parts, options.csv)]
    for data in sets:
        for features in ("raw",) if data.is_sparse else ("raw", "standardised"):
            bench = Bench(stack, data, features)
            for algorithm in options.algorithms:
                figures = bench.measure(algorithm, tuned=options.tuned)
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
    parser.add_argument("--tuned", action="store_true", help="measure tuned jobs, too")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    return parser.parse_args(arguments)


def main() -> int:
    """Measure, print a table, write JSON."""
    options = options_of()
    with TemporaryDirectory() as state, running_aws(Path(state)) as aws:
        figures = list(measure(Stack(aws), options))
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps([asdict(each) | {"gap": each.gap} for each in figures], indent=2)
        options.json.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
