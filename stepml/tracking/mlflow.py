"""Runs for MLflow: parameters, curves, tags, and the model as an artifact."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from stepml.job.installing import require_packages
from stepml.records.errors import LibraryMissingError
from stepml.tracking.errors import TrackerError
from stepml.tracking.facts import Parameter, final_metrics, identity, metrics
from stepml.tracking.tracker import RunLog, Tracker

if TYPE_CHECKING:
    from stepml.client import Failure, Run
    from stepml.job.reports import EpochReport, JobReport
    from stepml.reports.run_record import RunRecord

_Value = TypeVar("_Value")

EXPERIMENT = "stepml"
ANSWER_TIMEOUT_S = 5.0
_PORTS = {"http": 80, "https": 443}
_MOST_PARAMETERS = 100  # in a request
_REFUSED = re.compile(r"[^\w.\- :]")  # in names of parameters and metrics; a slash makes paths
_LONGEST_NAME = 200  # of 250, so that equal ones can be told apart
_ENDS = {"SUCCEEDED": "FINISHED", "ABORTED": "KILLED"}
_FAILED, _FAILURE = "stepml.failed_attempts", "stepml.failure"


class MLflow(Tracker):
    """Writes runs to MLflow; needs ``stepml[mlflow]``.

    Parameters
    ----------
    uri : str, optional
        Of the tracking server. Default: MLflow's own, from ``MLFLOW_TRACKING_URI``.
    experiment : str, optional
        Default: ``MLFLOW_EXPERIMENT_NAME``, or "stepml".
    artifacts : bool
        Whether the model and the reports are copied to the run.

    Raises
    ------
    LibraryMissingError
        MLflow is not installed.
    TrackerError
        The server does not answer, or it refuses.
    """

    def __init__(
        self, uri: str | None = None, experiment: str | None = None, *, artifacts: bool = True
    ) -> None:
        super().__init__()
        require_packages(("mlflow",), "the library for MLflow", "mlflow", LibraryMissingError)
        from mlflow import MlflowClient, get_tracking_uri
        from mlflow.exceptions import MlflowException

        self.uri = uri or str(get_tracking_uri())
        self.experiment = experiment or os.environ.get("MLFLOW_EXPERIMENT_NAME", EXPERIMENT)
        self._artifacts = artifacts
        _require_answer(self.uri)
        try:
            self._client = MlflowClient(tracking_uri=self.uri)
            self._experiment_id = _experiment_id(self._client, self.experiment)
        except MlflowException as error:
            raise TrackerError(f"MLflow at {self.uri!r} cannot be used: {error}") from error

    def open(self, run: Run, record: RunRecord) -> RunLog:
        """Return the log of a run: a run of MLflow, or the one of an earlier watch."""
        _require_answer(self.uri)
        run_id = self._found(identity(run, record)) or self._made(run, record)
        return _MlflowRun(self._client, self.uri, run_id, self._artifacts)

    def _found(self, names: Mapping[str, str]) -> str | None:
        wanted = " and ".join(f"tags.`stepml.{name}` = '{value}'" for name, value in names.items())
        found = self._client.search_runs([self._experiment_id], wanted, max_results=1)
        if not found:
            return None
        run_id = str(found[0].info.run_id)
        self._client.update_run(run_id, status="RUNNING")
        return run_id

    def _made(self, run: Run, record: RunRecord) -> str:
        made = self._client.create_run(
            self._experiment_id,
            start_time=_milliseconds(record.started_at or datetime.now(UTC)),
            tags={f"stepml.{name}": value for name, value in identity(run, record).items()},
            run_name=run.name,
        )
        return str(made.info.run_id)


class _MlflowRun(RunLog):
    """A run of MLflow; an epoch is one request, so none is there by half."""

    def __init__(self, client: Any, uri: str, run_id: str, artifacts: bool) -> None:
        self._client, self._uri, self._id = client, uri, run_id
        self._artifacts = artifacts
        data = client.get_run(run_id).data
        self._parameters = set(data.params)
        self._has_ended = "job_seconds" in data.metrics
        losses = client.get_metric_history(run_id, "loss") if "loss" in data.metrics else ()
        self.epochs = {int(each.step) for each in losses}
        self._failed: list[str] = []

    def describe(self, parameters: Mapping[str, Parameter], tags: Mapping[str, str]) -> None:
        from mlflow.entities import Param, RunTag

        found = [RunTag(f"stepml.{name}", value) for name, value in tags.items()]
        self._client.log_batch(self._id, tags=found)
        named = _permitted(parameters)
        new = [
            Param(name, str(value)) for name, value in named.items() if name not in self._parameters
        ]
        for begin in range(0, len(new), _MOST_PARAMETERS):
            self._client.log_batch(self._id, params=new[begin : begin + _MOST_PARAMETERS])
        self._parameters |= set(named)

    def write_epoch(self, report: EpochReport, ended_at: datetime) -> None:
        _require_answer(self._uri)
        self._write(metrics(report), report.epoch, ended_at)

    def write_failed_attempt(self, failure: Failure) -> None:
        # A watch hears of all of them, also of those before it.
        self._failed.append(f"epoch {failure.epoch}: {failure.with_rank}")
        self._client.set_tag(self._id, _FAILED, "\n".join(self._failed))

    def end(self, run: Run, result: JobReport | None) -> None:
        _require_answer(self._uri)
        state, failure = run.state, run.failure
        if failure is not None:
            self._client.set_tag(self._id, _FAILURE, failure.with_rank)
        elif _FAILURE in self._client.get_run(self._id).data.tags:
            self._client.delete_tag(self._id, _FAILURE)
        ended_at = state.ended_at or datetime.now(UTC)
        if result is not None and not self._has_ended:
            self._write(final_metrics(result), result.epochs, ended_at)
        status = _ENDS.get(state.status, "FAILED")
        self._client.set_terminated(self._id, status, _milliseconds(ended_at))
        if result is not None and self._artifacts:
            self._store(run)

    def _store(self, run: Run) -> None:
        if self._client.list_artifacts(self._id, "model"):
            return
        with TemporaryDirectory() as directory:
            run.download(Path(directory))
            self._client.log_artifacts(self._id, directory, "model")

    def _write(self, numbers: Mapping[str, float], step: int, at: datetime) -> None:
        from mlflow.entities import Metric

        moment = _milliseconds(at)
        found = [Metric(name, value, moment, step) for name, value in _permitted(numbers).items()]
        self._client.log_batch(self._id, metrics=found)


def _permitted(values: Mapping[str, _Value]) -> dict[str, _Value]:
    """Return values under names that MLflow accepts: labels and options may have others."""
    found: dict[str, _Value] = {}
    for own, value in values.items():
        name = _REFUSED.sub("_", own)[:_LONGEST_NAME]
        while name in found:
            name += "_"
        found[name] = value
    return found


def _experiment_id(client: Any, name: str) -> str:
    found = client.get_experiment_by_name(name)
    return str(client.create_experiment(name) if found is None else found.experiment_id)


def _require_answer(uri: str) -> None:
    """Raise `TrackerError` if no server listens; MLflow itself tries again for minutes."""
    address = urlsplit(uri)
    host = address.hostname
    if host is None or address.scheme not in _PORTS or _has_proxy(address.scheme, host):
        return
    try:
        port = address.port or _PORTS[address.scheme]
        socket.create_connection((host, port), ANSWER_TIMEOUT_S).close()
    except (OSError, ValueError) as error:
        raise TrackerError(f"MLflow at {uri!r} does not answer: {error}") from error


def _has_proxy(scheme: str, host: str) -> bool:
    return scheme in getproxies() and not proxy_bypass(host)


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
