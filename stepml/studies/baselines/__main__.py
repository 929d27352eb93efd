"""The process of a baseline: ``python -m stepml.studies.baselines``.

It reads a `Task` from standard input, and writes a `Outcome` to standard output.
"""

from __future__ import annotations

import sys
import time

import msgspec

from stepml.client import connect
from stepml.client.catalogues import BucketObjects
from stepml.job.conversion import decoded
from stepml.job.errors import StepMLError
from stepml.studies.baselines.kinds import SCIKIT_LEARN
from stepml.studies.baselines.preparation import Prepared, prepare
from stepml.studies.baselines.processes import Outcome, Task
from stepml.studies.baselines.rows import read_rows
from stepml.studies.baselines.scikit_learn import fit, require_scikit_learn
from stepml.studies.baselines.start import begin_training
from stepml.studies.baselines.training import TrainedEpoch, train


def run(task: Task) -> Outcome:
    """Return the outcome of a baseline."""
    began = time.perf_counter()
    asked = task.spec.in_bucket(task.bucket)
    if task.kind == SCIKIT_LEARN:
        require_scikit_learn()
        asked = msgspec.structs.replace(asked, workers=1)

    def open_bucket(bucket: str) -> BucketObjects:
        connection = connect(task.endpoint_url, task.region or None, task.profile or None)
        return BucketObjects(connection, bucket)

    rows = read_rows(asked, open_bucket, task.bucket, asked.workers)
    ready = prepare(asked, rows)
    if task.kind == SCIKIT_LEARN:
        return _fitted(ready, began)
    return _trained(ready, began)


def _fitted(ready: Prepared, began: float) -> Outcome:
    load_s, start = time.perf_counter() - began, time.perf_counter()
    found = fit(ready)
    train_s = time.perf_counter() - start
    last = TrainedEpoch(
        found.n_iterations,
        train_s,
        found.evaluation.loss,
        found.evaluation.metrics,
        "fitted",
        True,
        0.0,
    )
    return Outcome(load_s=load_s, epochs=[last])


def _trained(ready: Prepared, began: float) -> Outcome:
    training = begin_training(ready)
    load_s = time.perf_counter() - began
    return Outcome(load_s=load_s, epochs=train(training))


def main() -> None:
    """Run the baseline of standard input."""
    task = decoded(sys.stdin.buffer.read(), Task)
    try:
        outcome = run(task)
    except StepMLError as error:
        outcome = Outcome(error=f"{type(error).__name__}: {error}")
    sys.stdout.buffer.write(msgspec.json.encode(outcome))


if __name__ == "__main__":
    main()
