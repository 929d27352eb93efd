"""The commands against a server whose jobs end at once: what they write, and their exit codes."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from stepml.cli.app import app
from stepml.cli.following import HINTS
from stepml.cli.look import log_style, log_text
from stepml.cli.output import Output
from stepml.client.logs import LogLine
from tests.unit.moto_stack import BUCKET, JOB_TEXT, MotoStack, running_stack


@pytest.fixture(scope="module")
def stack() -> Iterator[MotoStack]:
    with running_stack() as running:
        yield running


@pytest.fixture
def name(stack: MotoStack) -> str:
    """The name of a run whose three epochs and results will be found."""
    name = f"run-{uuid.uuid4().hex[:8]}"
    stack.put_results(name, stack.put_epochs(name, 3))
    return name


@pytest.fixture
def job(tmp_path: Path) -> Path:
    path = tmp_path / "job.json"
    path.write_text(JOB_TEXT, encoding="utf-8")
    return path


@pytest.fixture(autouse=True)
def _own_directories(stack: MotoStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AWS_ENDPOINT_URL", stack.endpoint_url)
    monkeypatch.setenv("STEPML_STATE_DIR", str(tmp_path / "state"))


def invoke(*arguments: str | Path, code: int = 0) -> Result:
    result = CliRunner().invoke(app, [str(each) for each in arguments])
    assert result.exit_code == code, result.output
    return result


def invoke_json(*arguments: str | Path, code: int = 0) -> Any:
    result = invoke(*arguments, "--json", code=code)
    assert result.stderr == ""
    return json.loads(result.stdout)


def test_a_run_shows_its_epochs_and_a_summary_and_fetches_the_model(job: Path, name: str) -> None:
    result = invoke("run", job, "--name", name)

    rows = re.findall(r"^ +(\d)  +(\S+)  +(\S+)  +(\S+)(?:  (\S+))?$", result.stdout, re.M)
    assert [row[0] for row in rows] == ["1", "2", "3"]
    assert rows[2] == ("3", "0.333333", "0.8333", "0.25", "converged")
    assert f"{name}: converged after 3 epochs" in result.stdout
    assert "no improvement for 2 epochs" in result.stdout
    assert Path("runs", name, "model.safetensors").read_bytes() == b"arrays"
    assert f"stepml epochs {name}" in result.stdout
    assert "\x1b" not in result.stdout


def test_a_run_in_json_is_one_document(job: Path, name: str, tmp_path: Path) -> None:
    document = invoke_json("run", job, "--name", name, "--out", tmp_path / "results")

    assert document["job_id"] == name
    assert document["status"] == "SUCCEEDED"
    assert document["epochs"] == 3
    assert all(Path(path).is_file() for path in document["files"].values())


def test_a_detached_run_can_be_watched_afterwards(job: Path, name: str) -> None:
    started = invoke_json("run", job, "--name", name, "--detach")
    assert started["job_id"] == name

    for execution in (name, started["execution_arn"]):
        assert invoke_json("watch", execution)["decision"] == "converged"


def test_a_run_without_a_name_gets_one(job: Path) -> None:
    started = invoke_json("run", job, "--detach")

    assert re.fullmatch(r"job-\d{8}-\d{6}-[0-9a-f]{3}", started["job_id"])


def test_a_failed_run_is_one_line_about_its_first_error(job: Path, name: str) -> None:
    result = invoke("run", job, "--name", name, "--stack", "failing", code=1)

    assert result.stderr.splitlines() == [
        "BadRowError: data/x.csv, line 17",
        f"  {HINTS['BadRowError']}",
        f"look further: stepml logs {name} --stack failing",
    ]


def test_a_failed_run_in_json_has_error_and_message(job: Path, name: str) -> None:
    document = invoke_json("run", job, "--name", name, "--stack", "failing", code=1)

    assert document["error"] == "BadRowError"
    assert document["message"] == "data/x.csv, line 17"
    assert document["status"] == "FAILED"
    assert document["job_id"] == name


def test_a_name_that_was_used_is_bad_input(job: Path, name: str) -> None:
    invoke("run", job, "--name", name)
    job.write_text(JOB_TEXT.replace('"max_epochs": 3', '"max_epochs": 4'), encoding="utf-8")

    assert invoke_json("run", job, "--name", name, code=2)["error"] == "RunNameTakenError"


@pytest.mark.parametrize("command", ["watch", "epochs", "logs"])
def test_a_run_that_does_not_exist_is_one_line(command: str) -> None:
    result = invoke(command, "absent", code=2)

    assert result.stderr.startswith(
        "ExecutionNotFoundError: no run named 'absent' at http://127.0.0.1:"
    )
    assert result.stderr.count("\n") == 1


def test_a_missing_stack_is_one_line(job: Path) -> None:
    result = invoke("run", job, "--stack", "absent", code=3)

    assert result.stderr.startswith("StackNotFoundError: no stack 'absent' at http://127.0.0.1:")
    assert result.stderr.count("\n") == 1


def test_epochs_are_a_table(stack: MotoStack, job: Path, name: str) -> None:
    invoke("run", job, "--name", name)
    stack.start_child(f"{name}-e1-r0-t0")
    stack.start_child(f"{name}-e3-r0-t1")

    lines = invoke("epochs", name).stdout.splitlines()
    document = invoke_json("epochs", name)

    assert any(re.search(r"epoch +attempt +status +loss", line) for line in lines)
    assert all(len(line) <= 80 for line in lines)
    assert [(each["epoch"], each["retry"]) for each in document["epochs"]] == [(1, 0), (3, 1)]


def test_a_run_without_epochs_says_so(job: Path, name: str) -> None:
    invoke("run", job, "--name", name)

    assert invoke("epochs", name).stdout == f"{name} has no epochs yet\n"


def test_logs_are_a_line_each(stack: MotoStack, job: Path, name: str) -> None:
    started = invoke_json("run", job, "--name", name)
    assert started["status"] == "SUCCEEDED"
    client = stack.client()
    moment = client.describe(client.execution(name)).started_at
    entry = {"level": "INFO", "message": "rank trained", "job_id": name, "epoch": 2, "rank": 1}
    logs = stack.service("logs")
    group = "/aws/lambda/stepml-executor"
    logs.create_log_group(logGroupName=group)
    logs.create_log_stream(logGroupName=group, logStreamName="s")
    event = {
        "timestamp": int(moment.timestamp() * 1000),
        "message": json.dumps({**entry, "rows": 5}),
    }
    logs.put_log_events(logGroupName=group, logStreamName="s", logEvents=[event])

    text = invoke("logs", name).stdout
    followed = invoke("logs", name, "--rank", "1", "--follow", "--json").stdout.splitlines()

    assert text.endswith("epoch 2, rank 1: rank trained rows=5\n")
    assert [json.loads(line)["message"] for line in followed] == ["rank trained"]
    assert invoke_json("logs", name)["lines"][0]["fields"] == {"rows": 5}
    assert invoke_json("logs", name, "--rank", "0")["lines"] == []


def test_what_failed_is_a_red_line_on_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fields = {"error": "BadRowError", "reason": "data/x.csv, line 17", "rows": 5}
    line = LogLine("1", 0, "executor", "ERROR", "executor failed", 2, 1, fields)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)

    Output(as_json=False).line(log_text(line), log_style(line))

    told = capsys.readouterr().out
    assert told.startswith("\x1b[31m")
    assert (
        "executor, epoch 2, rank 1: executor failed: BadRowError: data/x.csv, line 17 rows=5"
        in told
    )
    assert log_style(replace(line, level="INFO")) is None


def test_digits_are_made_once_and_uploaded_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STEPML_CACHE_DIR", str(tmp_path / "cache"))

    first = invoke_json("data", "get", "digits")
    second = invoke_json("data", "get", "digits", "--upload")

    assert first["uri"] == second["uri"] == f"s3://{BUCKET}/data/digits.csv"
    assert (first["uploaded"], second["uploaded"]) == (True, False)
    lines = Path(first["path"]).read_text(encoding="ascii").splitlines()
    assert len(lines) == 1 + first["rows"]
    assert lines[0].split(",")[-1] == first["label"] == "digit"


def test_a_data_set_can_stay_on_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STEPML_CACHE_DIR", str(tmp_path / "cache"))

    assert invoke_json("data", "get", "digits", "--no-upload")["uri"] is None
