"""A job of many epochs and workers, with next to nothing to compute."""

from __future__ import annotations

import time
from typing import Any

from stepml.client import Client, Run
from stepml.client.epochs import finished_epochs
from stepml.client.retry_choices import next_name
from tests.support.local_stack import csv_rows


def long_job(workers: int, epochs: int, bucket: str) -> dict[str, Any]:
    """Return a job that trains for so many epochs, with next to nothing to compute."""
    return {
        "data": {"uri": f"s3://{bucket}/data/rows.csv", "format": "csv", "label": "label"},
        "workers": workers,
        "model": {"name": "logistic_regression", "l2": 0.01},
        "algorithm": {"name": "model_averaging", "learning_rate": 0.002, "batch_size": 20},
        "stop": {"max_epochs": epochs, "tolerance": 1e-9, "patience": epochs},
    }


def stopped_job(client: Client, workers: int, epochs: int, left: int) -> Run:
    """Return a job that has been stopped ``left`` epochs before its end."""
    rows = csv_rows(50 * workers)
    client.connection.client("s3").put_object(
        Bucket=client.stack.bucket, Key="data/rows.csv", Body=rows
    )
    run = client.run(long_job(workers, epochs, client.stack.bucket), next_name("long"))
    while finished(run) < epochs - left:
        time.sleep(2)
    run.stop()
    return run


def started_again(run: Run) -> Run:
    """Return the run that goes on where a stopped one was, when its functions are warm."""
    before = finished(run)
    again = run.retry(epoch=before + 1)
    wait_for(again, before + 3)
    return again


def finished(run: Run) -> int:
    """Return the number of finished epochs."""
    return finished_epochs(run.connection, run.stack, run.name)


def wait_for(run: Run, epoch: int) -> None:
    """Wait until an epoch has finished, or the job has ended."""
    while run.epoch_report(epoch) is None and not run.state.ended:
        time.sleep(0.5)
