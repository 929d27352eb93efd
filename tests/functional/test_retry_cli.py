"""Jobs that fail, are stopped and resume, with a user's commands ``stepml stop`` and ``retry``."""

from __future__ import annotations

import json
import re
import signal
import uuid
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from stepml.cli.app import app
from stepml.client import Client
from stepml.job import keys
from tests.faults.placements import Point
from tests.faults.stack import FaultyStack, Hold
from tests.functional.test_cli import CommandLine, read_until
from tests.support.local_stack import LocalStack, csv_rows, without
from tests.support.plain_choices import plain_job
from tests.support.running_aws import WAIT_S, eventually

pytestmark = pytest.mark.timeout(300)  # several commands, each with waits of its own

EPOCHS = 9
WORKERS = 2
# The variables in which the environment of commands differs from that of this process.
CHOSEN = (
    "AWS_ENDPOINT_URL",
    "AWS_PROFILE",
    "STEPML_CACHE_DIR",
    "STEPML_LOCAL",
    "STEPML_STATE_DIR",
)


class InProcess(CommandLine):
    """Runs commands in this process, which costs a fraction of another one."""

    def run(self, *arguments: str | Path, code: int = 0) -> tuple[str, str]:
        environment = {name: self.environment.get(name) for name in CHOSEN}
        with chdir(self.directory):
            result = CliRunner(env=environment).invoke(app, [*map(str, arguments)])
        assert result.exit_code == code, result.output
        return result.stdout, result.stderr


@dataclass(frozen=True)
class Runs:
    """Runs of one job, in different ways."""

    stepml: CommandLine
    stack: FaultyStack
    job: Path

    def start(self, name: str) -> None:
        self.stepml.run_json("run", self.job, "--name", name, "--detach")

    @contextmanager
    def held(self, name: str, *, after_epochs: int) -> Iterator[Hold]:
        """Let a run wait after a number of epochs, before rank 0 trains the next one."""
        with self.stack.holding(name, Point("executor", after_epochs + 1, 0)) as hold:
            yield hold

    @contextmanager
    def started(self, name: str, *, after_epochs: int) -> Iterator[Hold]:
        """Start a run, and let it wait after a number of epochs."""
        with self.held(name, after_epochs=after_epochs) as hold:
            self.start(name)
            hold.reached()
            yield hold

    def await_end(self, name: str) -> str:
        arn = self.stack.outputs["TrainStateMachineArn"].replace("stateMachine", "execution")
        return str(self.stack.aws.ended(f"{arn}:{name}")["status"])

    def statuses(self, names: list[str]) -> set[str]:
        listed = self.stack.aws.executions(self.stack.outputs["TrainStateMachineArn"])
        found = {each["name"]: each["status"] for each in listed}
        return {found[name] for name in names}

    def model(self, name: str) -> bytes:
        return self.stack.read(keys.model(name))

    def reports(self, name: str) -> list[dict[str, Any]]:
        document: dict[str, Any] = json.loads(self.stack.read(keys.report(name)))
        return list(document["history"])

    def attempts(self, name: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.stepml.run_json("epochs", name)["epochs"]
        return found


@pytest.fixture(scope="module")
def long_job(local_stack: LocalStack, job: dict[str, Any]) -> dict[str, Any]:
    """A job of several short epochs; it leaves nothing to be chosen."""
    uri = local_stack.upload("data/short.csv", csv_rows(200))
    data = {**job["data"], "uri": uri}
    whole = {**job, "data": data, "workers": WORKERS, "stop": {"max_epochs": EPOCHS}}
    return plain_job(whole)


@pytest.fixture
def runs(local_stack: FaultyStack, tmp_path: Path, long_job: dict[str, Any]) -> Runs:
    path = tmp_path / "small.json"
    path.write_text(json.dumps(long_job), encoding="utf-8")
    return Runs(InProcess(local_stack.endpoint_url, tmp_path), local_stack, path)


@pytest.fixture
def name() -> str:
    return f"retry-{uuid.uuid4().hex[:8]}"


@pytest.fixture(scope="module")
def undisturbed(local_stack: LocalStack, long_job: dict[str, Any]) -> bytes:
    """The model of an undisturbed run."""
    ended = local_stack.run(long_job)
    assert ended["status"] == "SUCCEEDED"
    return local_stack.read(keys.model(ended["name"]))


@contextmanager
def broken_executor(stack: LocalStack) -> Iterator[None]:
    """Let executors fail before any of our code runs, as after a wrong deployment."""
    functions, executor = stack.aws.client("lambda"), "stepml-executor"
    handler = functions.get_function_configuration(FunctionName=executor)["Handler"]
    functions.update_function_configuration(FunctionName=executor, Handler="lambdas.absent.handler")
    try:
        yield
    finally:
        functions.update_function_configuration(FunctionName=executor, Handler=handler)


@contextmanager
def short_executions(stack: LocalStack, epochs: int) -> Iterator[None]:
    """Let another execution continue the job after a number of epochs."""
    functions, prepare = stack.aws.client("lambda"), "stepml-prepare"
    settings = functions.get_function_configuration(FunctionName=prepare)["Environment"]
    short = {**settings["Variables"], "STEPML_EPOCHS_AN_EXECUTION": str(epochs)}
    functions.update_function_configuration(FunctionName=prepare, Environment={"Variables": short})
    try:
        yield
    finally:
        functions.update_function_configuration(FunctionName=prepare, Environment=settings)


def fail(runs: Runs, name: str, after_epochs: int = 2) -> None:
    """Let a run fail; in the last attempt at its epoch, a rank writes its error."""
    with (
        runs.started(name, after_epochs=after_epochs) as hold,
        without(runs.stack, keys.training_plan(name)),
    ):
        hold.release()
        assert runs.await_end(name) == "FAILED"


def wide_lines(text: str) -> list[str]:
    """Return the lines of more than 80 columns, except for those with paths and ARNs."""
    lines = [line for line in text.splitlines() if "runs/" not in line and "arn:" not in line]
    return [line for line in lines if len(line) > 80]


def test_a_failed_job_goes_on_and_ends_with_the_same_model(
    runs: Runs, name: str, undisturbed: bytes
) -> None:
    fail(runs, name)
    _, complaint = runs.stepml.run("watch", name, code=1)
    before = runs.attempts(name)

    shown, _ = runs.stepml.run("retry", name)

    first = before[-1]["epoch"]
    assert complaint.startswith(f"KeyNotFoundError: nothing is stored under jobs/{name}/training")
    assert re.search(rf"^  rank \d in epoch {first}$", complaint, re.M)
    assert "  log group  /stepml/stepml/executor\n" in complaint
    assert f"stepml retry {name}\n" in complaint
    assert shown.startswith(
        f"retried from epoch {first}; finished epochs are not trained again\n{name}\n"
    )
    assert len(re.findall(rf"^       epoch {first} is retried after ", shown, re.M)) == 2
    assert re.search(rf"^       epoch {first} is retried after rank \d: KeyNot", shown, re.M)
    assert wide_lines(shown + complaint) == []
    assert runs.model(name) == undisturbed
    # Each epoch was trained once, except in failed attempts.
    after = runs.attempts(name)
    assert after[: len(before)] == before
    trained = [each["epoch"] for each in after if each["status"] == "SUCCEEDED"]
    assert trained == list(range(1, EPOCHS + 1))
    numbers = [each["attempt"] for each in after if each["epoch"] == first]
    assert numbers == [1, 2, 3]


def test_why_attempts_failed_is_shown_with_rank_and_log(runs: Runs, name: str) -> None:
    fail(runs, name)

    table, _ = runs.stepml.run("epochs", name)
    failed = [each for each in runs.attempts(name) if each["status"] == "FAILED"]

    assert [each["failure"]["error"] for each in failed] == ["KeyNotFoundError"] * 2
    failure = failed[-1]["failure"]
    lines = runs.stepml.run_json("logs", name, "--rank", str(failure["rank"]))["lines"]
    assert any(line["level"] == "ERROR" for line in lines)
    assert f"       rank {failure['rank']}: KeyNotFoundError: nothing is stored" in table
    assert f"       log stream {failure['log_stream']}\n" in table
    assert wide_lines(table) == []


def test_a_rank_that_could_not_say_why_it_failed_is_found_in_the_history(
    runs: Runs, name: str, undisturbed: bytes
) -> None:
    with runs.started(name, after_epochs=1) as hold, broken_executor(runs.stack):
        hold.release()
        assert runs.await_end(name) == "FAILED"

    document = runs.stepml.run_json("watch", name, code=1)
    again = runs.stepml.run_json("retry", name)

    assert document["error"] == "Runtime.ImportModuleError"
    assert document["rank"] in range(WORKERS)
    assert (again["status"], again["how"]) == ("SUCCEEDED", "redriven")
    assert again["first_epoch"] == document["epoch"] > 1
    assert runs.model(name) == undisturbed


def test_the_failed_rank_of_a_wide_job_is_found_in_the_history_of_its_group(
    runs: Runs, name: str, job: dict[str, Any]
) -> None:
    wide = {**job, "workers": 42, "stop": {"max_epochs": 1}}
    runs.job.write_text(json.dumps(wide), encoding="utf-8")
    with broken_executor(runs.stack):
        document = runs.stepml.run_json("run", runs.job, "--name", name, code=1)

    assert (document["error"], document["epoch"]) == ("Runtime.ImportModuleError", 1)
    assert document["rank"] in range(42)
    ranks = [each["failure"]["rank"] for each in runs.attempts(name)]
    assert len(ranks) == 2
    assert set(ranks) <= set(range(42))
    shown = Client(endpoint_url=runs.stack.endpoint_url).find(name).epoch(1).iterations
    assert [each.item for each in shown] == list(range(42))
    assert shown[ranks[-1]].status == "FAILED"
    assert "Runtime.ImportModuleError" in str(shown[ranks[-1]].failure)


def test_a_stopped_job_goes_on(runs: Runs, name: str, undisturbed: bytes) -> None:
    with (
        runs.held(name, after_epochs=2) as hold,
        runs.stepml.start("run", runs.job, "--name", name) as watching,
    ):
        hold.reached()
        shown, _ = runs.stepml.run("stop", name)
        _, complaint = watching.communicate(timeout=WAIT_S)
    again, _ = runs.stepml.run("stop", name)

    assert watching.returncode == 1
    assert complaint.startswith(f"StoppedByUser: by the command: stepml stop {name}\n")
    assert f"stepml retry {name}\n" in complaint
    assert shown.startswith(f"stopped {name}\n")
    assert wide_lines(shown + complaint + again) == []
    assert again == f"{name} has already ended: ABORTED; nothing was changed\n"
    assert runs.stack.keys(keys.fence(name))

    document = runs.stepml.run_json("retry", name)

    assert (document["how"], document["epochs"]) == ("redriven", EPOCHS)
    assert runs.model(name) == undisturbed
    assert [each["epoch"] for each in runs.reports(name)] == list(range(1, EPOCHS + 1))


def test_a_job_that_is_redriven_while_it_is_watched_is_watched_on(
    runs: Runs, name: str, undisturbed: bytes
) -> None:
    fail(runs, name)
    runs.stepml.run_json("retry", name, "--detach")

    document = runs.stepml.run_json("watch", name)

    assert document["status"] == "SUCCEEDED"
    assert runs.model(name) == undisturbed


def test_a_job_is_trained_again_from_an_epoch_on(runs: Runs, name: str, undisturbed: bytes) -> None:
    runs.stepml.run_json("run", runs.job, "--name", name)
    new = f"{name}-b"

    shown, _ = runs.stepml.run("retry", name, "--epoch", str(EPOCHS - 1), "--name", new)

    assert shown.startswith(f"{new}: a new execution, from epoch {EPOCHS - 1} on\n")
    assert wide_lines(shown) == []
    assert runs.model(new) == undisturbed
    assert [each["epoch"] for each in runs.attempts(new)] == [EPOCHS - 1, EPOCHS]
    table, _ = runs.stepml.run("epochs", new)
    assert table.startswith(f"epochs 1 to {EPOCHS - 2} are those of {name}\nepoch  attempt")
    assert len(runs.reports(new)) == EPOCHS
    assert (runs.stepml.directory / "runs" / new / "model.safetensors").read_bytes() == undisturbed


def test_a_state_machine_that_was_changed_needs_a_new_execution(
    runs: Runs, name: str, undisturbed: bytes
) -> None:
    fail(runs, name)
    states, machine = runs.stack.aws.client("stepfunctions"), runs.stack.outputs
    arn = machine["TrainStateMachineArn"]
    definition = states.describe_state_machine(stateMachineArn=arn)["definition"]
    changed = json.dumps({**json.loads(definition), "Comment": "changed"})
    states.update_state_machine(stateMachineArn=arn, definition=changed)
    try:
        document = runs.stepml.run_json("retry", name)
    finally:
        states.update_state_machine(stateMachineArn=arn, definition=definition)

    assert document["how"] == "resumed"
    assert document["why"] == "the state machine has changed since it started"
    assert document["job_id"].startswith(f"{name}-again-")
    assert runs.model(document["job_id"]) == undisturbed


def test_a_long_job_is_watched_across_its_executions(
    runs: Runs, name: str, undisturbed: bytes
) -> None:
    with short_executions(runs.stack, 4):
        shown, _ = runs.stepml.run("run", runs.job, "--name", name)

    continuations = [
        each["name"]
        for each in runs.stack.aws.executions(runs.stack.outputs["TrainStateMachineArn"])
        if each["name"].startswith(f"{name}-c")
    ]
    assert len(continuations) == 2
    seen = Client(endpoint_url=runs.stack.endpoint_url).find(name).histories.look()
    assert [each.arn.rpartition(":")[2] for each in seen] == [name, *continuations]
    assert [each.visits[-1].state for each in seen] == ["ContinueJob", "ContinueJob", "Finalise"]
    rows = re.findall(r"^ +(\d+)  +\d\.\d+  ", shown, re.M)
    assert [int(row) for row in rows] == list(range(1, EPOCHS + 1))
    assert runs.model(name) == undisturbed
    assert [each["epoch"] for each in runs.attempts(name)] == list(range(1, EPOCHS + 1))
    lines = runs.stepml.run_json("logs", name, "--rank", "1")["lines"]
    assert {each["epoch"] for each in lines} == set(range(1, EPOCHS + 1))
    refused = runs.stepml.run_json("stop", continuations[0], code=2)
    assert f"is a continuation of the run {name}" in refused["message"]


def test_a_long_job_that_fails_in_a_later_execution_goes_on(
    runs: Runs, name: str, undisturbed: bytes
) -> None:
    with short_executions(runs.stack, 3):
        fail(runs, name, after_epochs=7)
        _, complaint = runs.stepml.run("watch", name, code=1)
        failed = [each for each in runs.attempts(name) if each["status"] == "FAILED"]
        shown, _ = runs.stepml.run("retry", name)

    epoch = failed[-1]["epoch"]
    assert epoch > 7
    assert re.search(rf"^  rank \d in epoch {epoch}$", complaint, re.M)
    assert shown.startswith(f"retried from epoch {epoch}; finished epochs are not trained")
    assert runs.model(name) == undisturbed
    after = runs.attempts(name)
    numbers = [each["attempt"] for each in after if each["epoch"] == epoch]
    assert numbers == list(range(1, len(failed) + 2))
    assert after[-1]["epoch"] == EPOCHS


def test_a_long_job_is_stopped_in_a_later_execution_and_goes_on(
    runs: Runs, name: str, undisturbed: bytes
) -> None:
    with short_executions(runs.stack, 3):
        with runs.started(name, after_epochs=7):
            assert runs.stepml.run_json("stop", name)["status"] == "ABORTED"
        # At once: executions that continue the job are stopped a moment after it.
        document = runs.stepml.run_json("retry", name)

    before = [f"{name}-c{epoch}-r0-t0" for epoch in (4, 7)]
    eventually(lambda: runs.statuses(before), lambda found: found == {"ABORTED"})
    assert document["how"] == "redriven"
    assert runs.model(name) == undisturbed


def test_what_cannot_be_retried_is_refused_in_one_line(runs: Runs, name: str) -> None:
    with runs.started(name, after_epochs=1):
        running = runs.stepml.run_json("retry", name, code=2)
        runs.stepml.run_json("stop", name)
    _, out_of_range = runs.stepml.run("retry", name, "--epoch", "99", code=2)
    absent = runs.stepml.run_json("retry", "absent", code=2)

    assert running["error"] == "RetryRefusedError"
    assert running["message"].startswith(f"{name} is running: there is nothing to retry")
    assert re.fullmatch(
        rf"RetryRefusedError: epoch: expected 1 to \d+, as {name} has finished \d+ epochs?, "
        rf"got 99\n",
        out_of_range,
    )
    assert absent["error"] == "ExecutionNotFoundError"


def test_a_job_that_was_refused_is_retried_with_the_same_input(
    runs: Runs, name: str, job: dict[str, Any]
) -> None:
    key = f"data/{name}.csv"
    uri = f"s3://{runs.stack.bucket}/{key}"
    document = {**job, "data": {**job["data"], "uri": uri}}
    runs.job.write_text(json.dumps(document), encoding="utf-8")
    failed = runs.stepml.run_json("run", runs.job, "--name", name, code=1)
    assert failed["error"] == "DataNotFoundError"
    content = runs.stack.read(job["data"]["uri"].partition(f"{runs.stack.bucket}/")[2])
    runs.stack.upload(key, content)

    shown, _ = runs.stepml.run("retry", name)

    assert shown.startswith(f"retried from epoch 1\n{name}\n")


def test_ctrl_c_ends_the_watching_of_a_retry_and_not_the_job(runs: Runs, name: str) -> None:
    fail(runs, name)
    with (
        runs.held(name, after_epochs=EPOCHS - 1),
        runs.stepml.start("retry", name) as process,
    ):
        read_until(process, "training")
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=WAIT_S)

    assert process.returncode == 130
    assert f"stepml stop {name}\n" in stderr
    assert runs.await_end(name) == "SUCCEEDED"
