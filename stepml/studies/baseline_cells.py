"""A cell that is a baseline: a process of this machine trains."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from stepml.studies.baselines.kinds import SCIKIT_LEARN, VM, Baseline
from stepml.studies.baselines.processes import Outcome, Task, run_task
from stepml.studies.baselines.training import TrainedEpoch
from stepml.studies.cells import Cell
from stepml.studies.prices import BOOT_S, vm_usd
from stepml.studies.results import CellResult, CurvePoint

if TYPE_CHECKING:
    from stepml.client import Client

PLACE = "this machine"


def run_baseline(client: Client, cell: Cell, interrupted: threading.Event) -> CellResult:
    """Run a baseline to its end, and return its result.

    It reads the data from the bucket, like functions.

    Raises
    ------
    InterruptedStudy
        ``interrupted`` is set; the process has been ended.
    """
    session = client.connection.session
    kind: Baseline = SCIKIT_LEARN if cell.kind == SCIKIT_LEARN else VM
    task = Task(
        kind,
        cell.spec,
        client.stack.bucket,
        client.connection.endpoint_url,
        session.region_name or "",
        session.profile_name if client.connection.endpoint_url is None else "",
    )
    began = time.perf_counter()
    outcome = run_task(task, interrupted)
    return _result(cell, outcome, time.perf_counter() - began)


def _result(cell: Cell, outcome: Outcome, seconds: float) -> CellResult:
    if outcome.error:
        return CellResult(key=cell.key, status="failed", place=PLACE, error=outcome.error)
    last, price = outcome.epochs[-1], vm_usd(cell.workers, seconds)
    return CellResult(
        key=cell.key,
        status="done",
        place=PLACE,
        end=last.end,
        converged=last.converged,
        epochs=last.epoch,
        loss=last.loss,
        metrics=last.metrics,
        seconds=seconds,
        start_s=BOOT_S,
        load_s=seconds - last.seconds,
        train_s=last.seconds,
        cost_usd=price,
        communication_share=None if cell.kind == SCIKIT_LEARN else last.exchange_s / last.seconds,
        curve=[_point(each, price) for each in outcome.epochs],
    )


def _point(epoch: TrainedEpoch, price: float) -> CurvePoint:
    return CurvePoint(epoch.epoch, epoch.seconds, price, epoch.loss)
