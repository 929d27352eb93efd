"""Lists of jobs and data, and the deletion of what they have left in the bucket."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from stepml.cli.app import app
from stepml.cli.figures import size
from stepml.job import keys
from stepml.job.documents import encode
from tests.support.moto_stack import BUCKET, JOB, JOB_TEXT, MotoStack
from tests.support.paths import ROOT

Begin = Callable[..., str]


@pytest.fixture(autouse=True)
def _own_directories(stack: MotoStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AWS_ENDPOINT_URL", stack.endpoint_url)
    monkeypatch.setenv("STEPML_STATE_DIR", str(tmp_path / "state"))


@pytest.fixture
def begin(stack: MotoStack) -> Begin:
    """Starts a job with some finished epochs, and waits until it has ended."""

    def begin(epochs: int = 3, *, named: str = "", of: str = "stepml", text: str = JOB_TEXT) -> str:
        name = named or f"run-{uuid.uuid4().hex[:8]}"
        if epochs:
            stack.put_results(name, stack.put_epochs(name, epochs))
        client = stack.client(of)
        job = client.stack.train_arn
        started = stack.service("stepfunctions").start_execution(
            stateMachineArn=job, name=name, input=text
        )
        states = stack.service("stepfunctions")
        while of != "endless" and (
            states.describe_execution(executionArn=started["executionArn"])["status"] == "RUNNING"
        ):
            pass
        return name

    return begin


def invoke(*arguments: str, code: int = 0, answer: str = "") -> Result:
    result = CliRunner().invoke(app, list(arguments), input=answer)
    assert result.exit_code == code, result.output
    return result


def invoke_json(*arguments: str, code: int = 0) -> Any:
    return json.loads(invoke(*arguments, "--json", code=code).stdout)


def listed(name: str, *arguments: str) -> dict[str, Any]:
    jobs = invoke_json("jobs", "--limit", "1000", *arguments)["jobs"]
    (found,) = (each for each in jobs if each["job_id"] == name)
    return dict(found)


def test_jobs_are_listed_with_settings_and_results_newest_first(begin: Begin) -> None:
    older, newer = begin(2), begin(3)

    found = listed(newer)
    assert {key: found[key] for key in ("status", "model", "algorithm", "channel", "workers")} == {
        "status": "SUCCEEDED",
        "model": "logistic_regression",
        "algorithm": "model_averaging",
        "channel": "s3",
        "workers": 4,
    }
    assert (found["epochs"], round(found["cost_usd"], 6)) == (3, 0.000375)
    assert found["loss"] == pytest.approx(1 / 3)
    assert found["metrics"] == pytest.approx({"accuracy": 1 - 0.5 / 3})
    names = [each["job_id"] for each in invoke_json("jobs", "--limit", "2")["jobs"]]
    assert names == [newer, older]


@pytest.mark.parametrize("stack_name", ["stepml", "failing"])
def test_an_execution_that_continues_a_job_under_its_own_name_is_no_job(
    begin: Begin, stack_name: str
) -> None:
    name = begin(0, of=stack_name, text=json.dumps({"continues": {"job_id": "another"}}))

    jobs = invoke_json("jobs", "--limit", "1000", "--stack", stack_name)["jobs"]
    assert name not in [each["job_id"] for each in jobs]


def test_listed_jobs_fit_into_80_columns(begin: Begin) -> None:
    name = begin(3)
    long = begin(1, named=f"{'x' * 45}{uuid.uuid4().hex[:6]}")

    lines = invoke("jobs", "--limit", "2").stdout.splitlines()

    assert re.fullmatch("job  +status +epochs +time +cost \\$", lines[0])
    assert re.fullmatch("  model +algorithm +channel × workers +accuracy", lines[1])
    assert lines[2] == long
    assert re.fullmatch(r" +succeeded +1 +\d\.\d s  0\.000125", lines[3])
    assert lines[4] == lines[6][:-6] + "0.5000"
    assert re.fullmatch(rf"{name}  +succeeded +3 +\d\.\d s  0\.000375", lines[5])
    assert re.fullmatch("  logistic_regression +model_averaging +s3 × 4 +0.8333", lines[6])
    assert max(map(len, lines)) <= 80


def test_a_wide_terminal_has_a_line_for_each_job(
    begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = begin(3)
    monkeypatch.setenv("COLUMNS", "150")
    header, job, basis = invoke("jobs", "--limit", "1").stdout.splitlines()
    assert header.startswith("job ")
    assert header.endswith("accuracy")
    assert basis == "cost: AWS list prices × local seconds"
    assert job.split()[0] == name
    assert re.search("s3 × 4 +0.8333$", job)


def test_jobs_are_chosen_by_their_status(begin: Begin) -> None:
    name = begin(0, of="failing")
    found = listed(name, "--stack", "failing", "--status", "failed")
    assert (found["status"], found["epochs"], found["loss"]) == ("FAILED", 0, None)
    assert (found["error"], found["message"]) == ("BadRowError", "data/x.csv, line 17")
    others = invoke_json("jobs", "--stack", "failing", "--status", "RUNNING")["jobs"]
    assert name not in [each["job_id"] for each in others]
    none = invoke("jobs", "--stack", "failing", "--status", "aborted")
    assert none.stdout == "no jobs that are ABORTED in the stack failing\n"


def test_a_job_that_is_training_has_the_epochs_that_are_finished(
    stack: MotoStack, begin: Begin
) -> None:
    name = begin(0, of="endless")
    stack.put_epochs(name, 5, ended=False)
    plan = JOB | {"algorithm": {"name": "gradient_averaging"}}
    stack.put(keys.training_plan(name), encode({"spec": plan, "about": {}}))

    found = listed(name, "--stack", "endless")

    assert (found["status"], found["epochs"], found["ended_at"]) == ("RUNNING", 5, None)
    assert found["algorithm"] == "gradient_averaging"
    assert found["loss"] == pytest.approx(1 / 5)


def test_executions_that_continue_a_job_are_no_jobs(begin: Begin) -> None:
    name = begin(1)
    begin(0, named=f"{name}-c2-r0-t0")
    jobs = [each["job_id"] for each in invoke_json("jobs", "--limit", "2")["jobs"]]
    assert jobs[0] == name


def test_jobs_whose_input_is_no_job_are_listed(begin: Begin) -> None:
    name = begin(0, of="failing", text='{"model": 3}')
    assert listed(name, "--stack", "failing")["model"] is None
    lines = invoke("jobs", "--stack", "failing", "--limit", "1").stdout.splitlines()
    assert lines[2].split()[:3] == [name, "failed", "0"]
    assert lines[3:5] == ["  no valid job", "  BadRowError: data/x.csv, line 17"]


def test_what_a_job_has_left_is_shown_and_deleted(stack: MotoStack, begin: Begin) -> None:
    name, other = begin(3), begin(1, named=f"other-{uuid.uuid4().hex[:6]}")
    similar = begin(1, named=f"{name}-2")

    refused = invoke("jobs", "rm", name, code=2)
    assert refused.stdout.startswith(f"jobs/{name}/: 7 objects, ")
    assert "nothing was deleted" in refused.stderr
    assert "--yes" in refused.stderr
    assert listed(name)["epochs"] == 3

    deleted = invoke_json("jobs", "rm", name, other, "--yes")
    assert deleted["deleted"] == {f"jobs/{name}/": 7, f"jobs/{other}/": 5}
    assert deleted["bytes"] > 1000
    assert listed(name)["loss"] is None
    assert listed(similar)["epochs"] == 1
    lines = invoke("jobs", "--limit", "1000").stdout
    assert re.search(rf"^{name} +succeeded", lines, re.M)
    assert " results missing\n" in lines
    again = invoke("jobs", "rm", name, "--yes", code=2)
    assert f"{name} has left nothing in the bucket" in again.stderr


@pytest.mark.parametrize(("answer", "code", "epochs"), [("y", 0, 0), ("n", 2, 1), ("", 2, 1)])
def test_on_a_terminal_a_person_is_asked(begin: Begin, answer: str, code: int, epochs: int) -> None:
    name = begin(1)
    terminal, stdin = pty.openpty()
    os.write(terminal, f"{answer}\n".encode())
    command = [sys.executable, "-m", "stepml", "jobs", "rm", name]
    asked = subprocess.run(
        command,
        stdin=stdin,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    os.close(stdin)
    os.close(terminal)
    assert asked.returncode == code, asked.stderr
    assert "models, reports and states are lost" in asked.stderr
    assert "Delete it? [y/N]" in asked.stderr
    assert listed(name)["epochs"] == epochs


def test_running_and_unknown_jobs_are_refused(begin: Begin) -> None:
    name = begin(1, of="endless")
    running = invoke("jobs", "rm", name, "--stack", "endless", "--yes", code=2)
    assert f"{name} is running; stop it first: stepml stop {name}" in running.stderr
    assert listed(name, "--stack", "endless")["epochs"] == 1
    unknown = invoke("jobs", "rm", "nobody", "--yes", code=2)
    assert "no run named 'nobody'" in unknown.stderr


def test_objects_of_a_job_that_step_functions_has_forgotten_can_be_deleted(
    stack: MotoStack,
) -> None:
    stack.put_epochs("old-run", 2)
    deleted = invoke_json("jobs", "rm", "old-run", "--yes")
    assert deleted["deleted"] == {"jobs/old-run/": 2}


@pytest.fixture
def with_data(stack: MotoStack) -> None:
    for key, content in {
        "data/rows.csv": b"1,2\n" * 500,
        "data/images/one.gz": b"12345",
        "data/images/two.gz": b"123456",
        "datasets/abc/manifest.json": b"{}",
        "datasets/abc/pieces/x": b"12",
    }.items():
        stack.put(key, content)


@pytest.mark.usefixtures("with_data")
def test_data_are_listed_and_deleted() -> None:
    found = {each["place"]: each for each in invoke_json("data", "ls")["places"]}
    assert list(found) == ["data/images/", "data/rows.csv", "datasets/abc/"]
    assert (found["data/images/"]["objects"], found["data/images/"]["bytes"]) == (2, 11)
    inside = invoke_json("data", "ls", "data/images")["places"]
    assert [each["place"] for each in inside] == ["data/images/one.gz", "data/images/two.gz"]
    lines = invoke("data", "ls").stdout.splitlines()
    assert lines[0] == f"s3://{BUCKET}/"
    assert lines[2].startswith("  data/rows.csv  1 object, 2.0 kB, 20")
    assert lines[-1] == "  2.0 kB in all"

    refused = invoke("data", "rm", "data/rows.csv", "datasets/abc/", code=2).stderr
    assert "data of yours are lost" in refused
    assert "jobs make these partitioned data again" in refused
    deleted = invoke_json("data", "rm", f"s3://{BUCKET}/data/rows.csv", "datasets/abc/", "--yes")
    assert deleted["deleted"] == {"data/rows.csv": 1, "datasets/abc/": 2}
    assert [each["place"] for each in invoke_json("data", "ls")["places"]] == ["data/images/"]


@pytest.mark.usefixtures("with_data")
@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("data/row.csv", f"nothing lies at s3://{BUCKET}/data/row.csv"),
        ("data/images", "data/images/ is a folder, with 2 objects, 11 B"),
        ("data/none/", f"nothing lies below s3://{BUCKET}/data/none/"),
        ("jobs/run/", "expected a place in data/, datasets/, code/, got 'jobs/run/'"),
        ("data", "expected a place in data/, datasets/, code/, got 'data'"),
        ("s3://other/data/x", f"expected a place in the bucket of the stack, {BUCKET}, got"),
    ],
)
def test_places_that_cannot_be_deleted_are_named(place: str, expected: str) -> None:
    assert expected in invoke("data", "rm", place, "--yes", code=2).stderr
    assert "data/rows.csv" in [each["place"] for each in invoke_json("data", "ls")["places"]]


@pytest.mark.parametrize(
    ("n_bytes", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (99_949, "99.9 kB"),
        (265_000, "265 kB"),
        (999_999, "1.0 MB"),
        (3_200_000_000, "3.2 GB"),
        (10**16, "10000 TB"),
    ],
)
def test_sizes_have_three_digits_or_so(n_bytes: int, text: str) -> None:
    assert size(n_bytes) == text


def test_latest_is_the_newest_job_and_as_a_model_the_newest_that_has_one(
    stack: MotoStack, begin: Begin
) -> None:
    newest = begin(1)
    failed = begin(0, of="failing")
    assert invoke_json("epochs", "latest")["job_id"] == newest
    assert invoke_json("epochs", "latest", "--stack", "failing")["job_id"] == failed
    Path("rows.csv").write_text("a,y\n1,0\n", encoding="utf-8")
    stack.put(keys.model_card(newest), b"no model")
    assert f"jobs/{newest}/" in invoke("predict", "latest", "rows.csv", code=2).stderr
    none = invoke("predict", "latest", "rows.csv", "--stack", "failing", code=2).stderr
    assert "has no job that has succeeded yet" in " ".join(none.split())
