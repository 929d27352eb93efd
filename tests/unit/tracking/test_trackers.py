"""Callbacks and trackers; what these have written is read back by the libraries' own readers."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from stepml.cli.app import app
from stepml.client import Callback, Client, Failure, Run, connect
from stepml.job.reports import EpochReport, JobReport
from stepml.tracking import JsonLines, MLflow, RunLog, TensorBoard, Tracker, TrackerError
from tests.support.moto_stack import JOB, MotoStack

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator


class Misspelt(Callback):
    def on_epock(self, run: Run, report: EpochReport) -> None:
        """Be called by nobody."""


class Heard(Callback):
    """Notes what it hears."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def on_start(self, run: Run) -> None:
        self.calls.append(("start", run.name))

    def on_epoch(self, run: Run, report: EpochReport) -> None:
        self.calls.append(("epoch", report.epoch))

    def on_failed_attempt(self, run: Run, failure: Failure) -> None:
        self.calls.append(("attempt", failure.error))

    def on_failure(self, run: Run, failure: Failure) -> None:
        self.calls.append(("failure", failure.error))

    def on_end(self, run: Run, result: JobReport | None) -> None:
        self.calls.append(("end", result and result.epochs))


class EpochsAlone(Callback):
    """Defines one method, and fails in it."""

    def on_epoch(self, run: Run, report: EpochReport) -> None:
        raise OSError(f"no room for epoch {report.epoch}")


def a_name(stack: MotoStack, epochs: int) -> str:
    name = f"run-{uuid.uuid4().hex[:8]}"
    stack.put_results(name, stack.put_epochs(name, epochs))
    return name


def test_callbacks_hear_of_each_epoch_once_and_of_the_end(stack: MotoStack) -> None:
    name, heard = a_name(stack, 3), Heard()
    stack.client().run(JOB, name, wait=True, callbacks=[heard])
    epochs = [("epoch", epoch) for epoch in (1, 2, 3)]
    assert heard.calls == [("start", name), *epochs, ("end", 3)]


@pytest.mark.parametrize("how", ["with the client", "later", "without blocking"])
def test_callbacks_of_a_client_or_of_a_run_hear_whenever_it_is_waited_for(
    stack: MotoStack, how: str
) -> None:
    name, of_client, of_run = a_name(stack, 1), Heard(), Heard()
    client = Client(connect(stack.endpoint_url), callbacks=[of_client])
    run = client.run(JOB, name, wait=how == "with the client", callbacks=[of_run])
    if how == "later":
        assert of_run.calls == []
        client.find(name).wait()
        run.wait()
    if how == "without blocking":
        asyncio.run(run._ended())
    story = [("start", name), ("epoch", 1), ("end", 1)]
    assert of_run.calls == story
    assert of_client.calls == story * (2 if how == "later" else 1)


def test_callbacks_hear_of_the_failure_of_a_job_before_its_end(stack: MotoStack) -> None:
    name, heard = f"run-{uuid.uuid4().hex[:8]}", Heard()
    stack.client("failing").run(JOB, name).wait(check=False, callbacks=[heard])
    assert heard.calls == [("start", name), ("failure", "BadRowError"), ("end", None)]


def test_a_callback_that_fails_is_shown_once_and_ends_nothing(stack: MotoStack) -> None:
    name, heard = a_name(stack, 3), Heard()
    with pytest.warns(RuntimeWarning) as shown:
        run = stack.client().run(JOB, name, wait=True, callbacks=[EpochsAlone(), heard])
    assert run.status == "SUCCEEDED"
    assert heard.calls[-1] == ("end", 3)
    (warning,) = shown
    text = str(warning.message)
    assert text.startswith(f"EpochsAlone.on_epoch has failed, and {name} goes on: OSError: no room")
    assert "for epoch 1 (" in text
    assert "test_trackers.py, line " in text


@pytest.mark.parametrize(
    ("callbacks", "says"),
    [
        ([Heard], r"expected Heard\(\), an instance"),
        ([print], r"without on_start, on_epoch, on_failed_attempt, on_failure, on_end"),
        (Heard(), "expected a sequence of callbacks"),
        (
            [Misspelt()],
            r"Misspelt\.on_epock is called by nobody; did you mean on_epoch\?",
        ),
    ],
)
def test_what_is_no_callback_is_refused_before_the_job_starts(
    stack: MotoStack, callbacks: Any, says: str
) -> None:
    name = f"run-{uuid.uuid4().hex[:8]}"
    with pytest.raises(TypeError, match=says):
        stack.client().run(JOB, name, wait=True, callbacks=callbacks)
    assert name not in {each.name for each in stack.client().runs()}


@pytest.fixture(autouse=True)
def _mlflow_in_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")  # a store without a server
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")


def started(stack: MotoStack, epochs: int, kind: str = "stepml", **ending: bool) -> Run:
    """Return the run of a job with reports of this many epochs; its state machine ends at once."""
    name = f"run-{uuid.uuid4().hex[:8]}"
    reports = stack.put_epochs(name, epochs, **ending)
    if kind == "stepml":
        stack.put_results(name, reports)
    return stack.client(kind).run(JOB, name)


def watched(run: Run, *callbacks: Callback) -> None:
    run.wait(check=False, callbacks=callbacks)


class Places:
    """A place of each tracker, and what their own readers find there.

    The readers load slowly, and every process of the tests imports this module.
    """

    def __init__(self, directory: Path) -> None:
        self.board = directory / "board"
        self.mlflow = f"file:{directory / 'mlruns'}"
        self.lines = directory / "track.jsonl"

    def trackers(self) -> tuple[Tracker, ...]:
        """Return new trackers, as of a new program."""
        return TensorBoard(self.board), MLflow(self.mlflow), JsonLines(self.lines)

    def curve_of_board(self, name: str, tag: str = "quality/loss") -> list[tuple[int, float]]:
        return [(each.step, each.value) for each in self.accumulated(name).Scalars(tag)]

    def accumulated(self, name: str) -> EventAccumulator:
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        found = EventAccumulator(str(self.board / name))
        found.Reload()
        return found

    def mlflow_client(self) -> MlflowClient:
        from mlflow import MlflowClient

        return MlflowClient(self.mlflow)

    def curve_of_mlflow(self, name: str) -> list[tuple[int, float]]:
        run_id = self.mlflow_run(name).info.run_id
        history = self.mlflow_client().get_metric_history(run_id, "loss")
        return [(each.step, each.value) for each in history]

    def mlflow_run(self, name: str) -> Any:
        client = self.mlflow_client()
        experiment = client.get_experiment_by_name("stepml")
        assert experiment is not None
        wanted = f"tags.`stepml.job_id` = '{name}'"
        (run,) = client.search_runs([experiment.experiment_id], wanted)
        return run

    def events(self, name: str, kind: str) -> list[dict[str, Any]]:
        lines = [json.loads(each) for each in self.lines.read_text().splitlines()]
        return [each for each in lines if (each["job_id"], each["event"]) == (name, kind)]

    def curve_of_lines(self, name: str) -> list[tuple[int, float]]:
        return [(each["epoch"], each["loss"]) for each in self.events(name, "epoch")]

    def curves(self, name: str) -> list[list[tuple[int, float]]]:
        curves = (self.curve_of_board, self.curve_of_mlflow, self.curve_of_lines)
        return [[(epoch, round(loss, 4)) for epoch, loss in curve(name)] for curve in curves]


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return Places(tmp_path)


LOSSES = [(1, 1.0), (2, 0.5), (3, 0.3333), (4, 0.25)]


def test_trackers_have_a_run_whole_and_once_however_often_it_is_watched(
    stack: MotoStack, places: Places
) -> None:
    run = started(stack, 3)
    watched(run, *places.trackers())
    watched(run, *places.trackers())
    assert places.curves(run.name) == [LOSSES[:3]] * 3
    board = places.accumulated(run.name)
    assert {"quality/accuracy", "time/seconds", "spent/total_cost_usd"} <= {
        *board.Tags()["scalars"]
    }
    assert len(board.Tensors("_hparams_/session_start_info")) == 1
    found = places.mlflow_run(run.name)
    assert found.info.status == "FINISHED"
    assert found.data.params["model.name"] == "logistic_regression"
    assert found.data.params["stop.max_epochs"] == "3"
    assert found.data.metrics["job_cost_usd"] == pytest.approx(0.000375)
    assert found.data.tags["stepml.execution_arn"] == run.arn
    assert (found.data.tags["stepml.channel"], found.data.tags["stepml.pattern"]) == (
        "s3",
        "reduce",
    )
    artifacts = places.mlflow_client().list_artifacts(found.info.run_id, "model")
    assert {"model/model.safetensors", "model/report.json"} <= {each.path for each in artifacts}
    for kind in ("started", "parameters", "result"):
        assert len(places.events(run.name, kind)) == 1
    assert places.events(run.name, "parameters")[0]["tags"]["algorithm"] == "model_averaging"


def test_two_watches_of_a_run_at_once_write_it_once(stack: MotoStack, places: Places) -> None:
    run = started(stack, 2)
    reports = list(run.watch())[-1].epochs
    for tracker in places.trackers():
        for _ in range(2):
            tracker.on_start(run)
        for report in reports:
            for _ in range(2):
                tracker.on_epoch(run, report)
        for _ in range(2):
            tracker.on_end(run, run.result)
    assert places.curves(run.name) == [LOSSES[:2]] * 3


def test_labels_in_names_of_parameters_are_no_obstacle(stack: MotoStack, places: Places) -> None:
    run = started(stack, 1)
    log = MLflow(places.mlflow).open(run, run.record)
    log.describe({"w.<=50K": 1.0, "w.>=50K": 2.0, "w./../b": 3.0, "w" * 300: 4.0}, {})
    found = places.mlflow_run(run.name).data.params
    assert found == {"w.__50K": "1.0", "w.__50K_": "2.0", "w._.._b": "3.0", "w" * 200: "4.0"}


def test_a_run_that_goes_on_continues_its_curves(stack: MotoStack, places: Places) -> None:
    run = started(stack, 2, "failing", ended=False)
    watched(run, *places.trackers())
    assert places.mlflow_run(run.name).info.status == "FAILED"
    assert "BadRowError" in places.mlflow_run(run.name).data.tags["stepml.failure"]
    stack.put_epochs(run.name, 4)
    watched(run, *places.trackers())
    assert places.curves(run.name) == [LOSSES] * 3
    (error,) = places.events(run.name, "error")
    assert (error["error"], error["status"]) == ("BadRowError", "FAILED")


def test_epochs_before_the_watch_have_the_times_at_which_they_ended(
    stack: MotoStack, places: Places
) -> None:
    run = started(stack, 2)
    watched(run, *places.trackers())
    for event in places.events(run.name, "epoch"):
        assert datetime.fromisoformat(event["time"]) >= run.state.started_at


def test_another_run_of_the_same_name_is_another_one(stack: MotoStack, places: Places) -> None:
    run = started(stack, 2)
    first = places.board / run.name
    for tracker in (TensorBoard(places.board), JsonLines(places.lines)):
        watched(run, tracker)
    # As of an earlier local AWS, which gives the same ARNs.
    text = places.lines.read_text()
    places.lines.write_text(text.replace('"started_at":"20', '"started_at":"19'))
    first.rename(places.board / "other")
    other = started(stack, 1)
    watched(other, TensorBoard(places.board))
    (places.board / other.name).rename(first)
    watched(run, TensorBoard(places.board), JsonLines(places.lines))
    (again,) = places.board.glob(f"{run.name}-*")
    assert places.curve_of_board(again.name) == [(1, 1.0), (2, 0.5)]
    assert [epoch for epoch, _ in places.curve_of_lines(run.name)] == [1, 2, 1, 2]


def test_a_line_that_was_cut_off_stays_alone(stack: MotoStack, places: Places) -> None:
    run = started(stack, 3)
    watched(run, JsonLines(places.lines))
    whole = places.lines.read_bytes()
    cut = whole.index(b'"epoch":3') + 5
    places.lines.write_bytes(whole[:cut])
    watched(run, JsonLines(places.lines))
    *lines, broken, third, result = places.lines.read_text().splitlines()
    assert [json.loads(each)["event"] for each in lines[-2:]] == ["epoch", "epoch"]
    assert (json.loads(third)["epoch"], json.loads(result)["event"]) == (3, "result")
    with pytest.raises(ValueError, match=r"Unterminated|Expecting"):
        json.loads(broken)


class _Forgetful(Tracker):
    """Fails when it is opened first, and once at the second epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.opened = 0
        self.calls: Counter[str] = Counter()
        self.written: list[int] = []

    def open(self, run: Run, record: object) -> RunLog:
        self.opened += 1
        if self.opened == 1:
            raise ConnectionError("nothing listens")
        return _Log(self)


class _Log(RunLog):
    def __init__(self, tracker: _Forgetful) -> None:
        self.epochs = set()
        self._tracker = tracker

    def describe(self, parameters: Mapping[str, object], tags: Mapping[str, str]) -> None:
        self._tracker.calls["parameters"] += 1

    def write_epoch(self, report: EpochReport, ended_at: datetime) -> None:
        self._tracker.calls[f"epoch {report.epoch}"] += 1
        if self._tracker.calls["epoch 2"] == 1:
            raise ConnectionError("the server is away")
        self._tracker.written.append(report.epoch)

    def write_failed_attempt(self, failure: Failure) -> None:
        raise NotImplementedError

    def end(self, run: Run, result: JobReport | None) -> None:
        self._tracker.calls["end"] += 1


def test_a_place_that_fails_for_a_while_has_everything_later(stack: MotoStack) -> None:
    run, tracker = started(stack, 3), _Forgetful()
    with pytest.warns(RuntimeWarning, match=r"_Forgetful\.on_start has failed.*nothing listens"):
        watched(run, tracker)
    assert tracker.written == [1, 2, 3]
    assert (tracker.calls["parameters"], tracker.calls["end"]) == (1, 1)


@pytest.mark.parametrize(
    ("made", "says"),
    [
        (lambda at: TensorBoard(at / "file" / "board"), "expected a directory"),
        (lambda at: JsonLines(at / "file" / "x.jsonl"), "expected a file .* File exists"),
        (JsonLines, "Is a directory"),
        (lambda at: MLflow("http://127.0.0.1:9"), "does not answer"),
        (lambda at: MLflow("ftp://127.0.0.1"), "cannot be used"),
    ],
)
def test_a_place_that_cannot_be_used_is_refused_at_once(
    tmp_path: Path, made: Any, says: str
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(TrackerError, match=says):
        made(tmp_path)


@pytest.fixture
def command(stack: MotoStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A function that runs a command in an empty directory, and returns its output."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AWS_ENDPOINT_URL", stack.endpoint_url)
    monkeypatch.setenv("STEPML_STATE_DIR", str(tmp_path / "state"))

    def run(*arguments: object, code: int = 0) -> str:
        result = CliRunner().invoke(app, [str(each) for each in arguments])
        assert result.exit_code == code, result.output
        return result.output

    return run


def test_commands_write_what_trackers_write(
    stack: MotoStack, places: Places, command: Any, job: Path
) -> None:
    name = a_name(stack, 3)
    at = ("--tensorboard", places.board, "--mlflow", places.mlflow, "--track", places.lines)
    command("run", job, "--name", name, *at)
    command("watch", name, *at)
    assert places.curves(name) == [LOSSES[:3]] * 3
    assert places.events(name, "result")[0]["metrics"] == {"accuracy": pytest.approx(5 / 6)}


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--track", "."), "--track: '.': expected a file that can be written"),
        (("--mlflow", "http://127.0.0.1:9"), "--mlflow: MLflow at 'http://127.0.0.1:9' does not"),
        (("--track", "x.jsonl", "--detach"), "--track and --detach exclude each other"),
    ],
    ids=["file", "server", "detached"],
)
def test_commands_refuse_places_before_the_job_starts(
    stack: MotoStack, command: Any, job: Path, options: tuple[str, ...], says: str
) -> None:
    name = f"run-{uuid.uuid4().hex[:8]}"
    output = " ".join(command("run", job, "--name", name, *options, code=2).split())
    assert says in output
    assert name not in {each.name for each in stack.client().runs()}


def test_a_command_says_that_a_tracker_has_failed_and_goes_on(
    stack: MotoStack, command: Any, job: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = a_name(stack, 1)
    monkeypatch.setattr(JsonLines, "open", lambda *_: Path("gone/file").read_text())
    lines = command("run", job, "--name", name, "--track", "x.jsonl", "--json").splitlines()
    events = {each["event"]: each for each in map(json.loads, lines)}
    assert "JsonLines.on_start has failed" in events["tracker_failed"]["message"]
    assert events["result"]["job_id"] == name
    assert "No such file" in command("run", job, "--name", a_name(stack, 1), "--track", "y.jsonl")
