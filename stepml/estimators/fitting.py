"""One fit: rows are stored, a job trains on them, and its model comes back."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING, Any

from stepml.client.connection import is_throttled
from stepml.client.objects import find_object
from stepml.client.own_code import with_own_code
from stepml.client.row_uploads import UPLOADS, send_rows
from stepml.estimators.leftovers import delete_failed_job, delete_job
from stepml.estimators.stored_rows import STORED_ROWS
from stepml.job import errors, keys
from stepml.job.job_files import checked_job
from stepml.job.written import object_json
from stepml.ml.artifact import Artifact
from stepml.records.errors import AccessError, RunFailedError
from stepml.reports.epoch_rows import report_row
from stepml.trained.own_code import give_code
from stepml.trained_model import TrainedModel

if TYPE_CHECKING:
    from stepml.client import Client, Run
    from stepml.client.packed_rows import PackedRows
    from stepml.estimators.stored_rows import Held
    from stepml.job.reports import JobReport

_FIRST_PAUSE = 0.1  # of the usual one between two looks
_SLOWER = 1.3


@dataclass(frozen=True, slots=True)
class Fit:
    """The result of a job.

    Attributes
    ----------
    run : Run
    model : TrainedModel
    history : list of dict
        A row for each epoch: loss, metrics, seconds, cost.
    """

    run: Run
    model: TrainedModel
    history: list[dict[str, Any]]


class FitRefusedError(RunFailedError, ValueError):
    """A job ended without a model, because the data or the parameters do not suit."""


def fitted(
    client: Client,
    rows: PackedRows,
    job: Mapping[str, Any],
    stem: str,
    *,
    keep: bool,
    code: Path | None = None,
) -> Fit:
    """Train a job on rows.

    Parameters
    ----------
    client : Client
    rows : PackedRows
    job : mapping
        Without the place of the data.
    stem : str
        The beginning of the run's name.
    keep : bool
        Whether rows and results stay in the bucket.
    code : Path, optional
        Of an own model or algorithm.

    Raises
    ------
    InvalidJobError
        A parameter is wrong; nothing has started.
    FitRefusedError
        The job ended with an error about data or parameters.
    RunFailedError
        It ended with another error.
    AccessError
        A service cannot be reached or refuses.
    """
    connection, stack, name = client.connection, client.stack, _new_name(stem)
    if keep:
        place = f"{UPLOADS}{rows.digest}/"
        whole = _checked(job, stack.bucket, place, name, code)
        send_rows(connection, stack, rows, place)
        return _trained(client, client.run(whole, name, code=code), code)[0]
    with STORED_ROWS.holding(connection, stack, rows) as held:
        whole = _checked(job, stack.bucket, held.place, name, code)
        held.store(rows)
        run = client.run(whole, name, code=code)
        with _deleting(client, name, held):
            fit, report = _trained(client, run, code)
        held.copies.add(report.dataset.digest)
    return fit


def _new_name(stem: str) -> str:
    return f"{stem}-{time.strftime('%Y%m%d-%H%M%S')}-{token_hex(4)}"


def _checked(
    job: Mapping[str, Any], bucket: str, place: str, name: str, code: Path | None
) -> dict[str, Any]:
    """Return a job with the place of its data, or raise `InvalidJobError`."""
    whole = {**job, "data": {"uri": f"s3://{bucket}/{place}", **job["data"]}}
    text, _ = with_own_code(object_json(whole), code)
    checked_job(text, name)
    return whole


def _trained(client: Client, run: Run, code: Path | None) -> tuple[Fit, JobReport]:
    """Wait for a run; return its model, and its report."""
    with _stopping(run):
        if run.callbacks:
            run.wait(check=False, show=False)
        else:
            _wait(run, client.connection.poll_s)
    report = run.result
    if report is None:
        raise _failed(run)
    history = [{"epoch": each.epoch, **report_row(each)} for each in report.history]
    return Fit(run, _model(client, run.name, code), history), report


@contextmanager
def _stopping(run: Run) -> Iterator[None]:
    """Stop the job if the block is interrupted, as by Ctrl-C."""
    try:
        yield
    except BaseException:
        try:
            run.stop("by an interrupted fit")
        except AccessError as error:
            warnings.warn(f"{run.name} may go on: {error}", stacklevel=2)
        raise


def _wait(run: Run, usual_s: float) -> None:
    """Wait until a job has ended; look often at the beginning, as a small one is soon over."""
    pause_s = _FIRST_PAUSE * usual_s
    while True:
        try:
            if run.state.ended:
                return
        except AccessError as error:
            if not is_throttled(error):
                raise
        time.sleep(pause_s)
        pause_s = min(_SLOWER * pause_s, usual_s)


def _failed(run: Run) -> RunFailedError:
    failure = run.failure
    assert failure is not None
    kind = getattr(errors, failure.error, None)
    is_refusal = isinstance(kind, type) and issubclass(
        kind, errors.InvalidJobError | errors.InvalidDataError
    )
    return (FitRefusedError if is_refusal else RunFailedError)(run.name, failure)


def _model(client: Client, name: str, code: Path | None) -> TrainedModel:
    """Return the model of a job that has succeeded."""
    files = []
    for key in (keys.model(name), keys.model_card(name)):
        found = find_object(client.connection, client.stack.bucket, key)
        assert found is not None, key
        files.append(found["Body"].read())
    artifact = Artifact.unpack(*files)
    if code is not None and "entry_point" in artifact.card["job"]["model"]:
        give_code(artifact, code)
    return TrainedModel(artifact)


@contextmanager
def _deleting(client: Client, name: str, held: Held) -> Iterator[None]:
    """Delete the objects of a job after the block; its partitioned rows stay with its rows."""
    place = client.connection, client.stack.bucket, name
    try:
        yield
    except BaseException:
        STORED_ROWS.hold(held)
        delete_failed_job(*place, held.copies.add, lambda: STORED_ROWS.release(held))
        raise
    delete_job(*place)
