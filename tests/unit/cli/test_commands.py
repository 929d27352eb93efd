"""Commands against a server whose jobs end at once: their output and exit codes."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import re
import time
import uuid
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from moto.core.responses import ActionResult
from moto.stepfunctions.responses import StepFunctionResponse
from msgspec.structs import replace as replace_fields
from typer.testing import CliRunner, Result

from stepml.cli.app import app
from stepml.cli.display import epoch_row
from stepml.cli.following import field_hint, next_steps
from stepml.cli.look import log_style
from stepml.cli.output import Output
from stepml.cli.run import crowding_note
from stepml.client import Failure as ClientFailure
from stepml.client import LogLine
from stepml.job import keys
from stepml.job.documents import encode
from stepml.job.parse import parse_job
from stepml.job.parts import FunctionTimes, Parts, Traffic
from stepml.job.reports import ClassQuality, Failure, JobWarning
from tests.support.moto_stack import BUCKET, JOB, JOB_TEXT, MotoStack, epoch_report
from tests.support.paths import ROOT


@pytest.fixture
def name(stack: MotoStack) -> str:
    """The name of a run with three epochs and results."""
    name = f"run-{uuid.uuid4().hex[:8]}"
    stack.put_results(name, stack.put_epochs(name, 3))
    return name


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


def last_line(*arguments: str | Path, code: int = 0) -> Any:
    return json_lines(*arguments, code=code)[-1]


def json_lines(*arguments: str | Path, code: int = 0) -> list[Any]:
    result = invoke(*arguments, "--json", code=code)
    assert result.stderr == ""
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_a_run_shows_its_epochs_and_a_summary_and_fetches_the_model(
    stack: MotoStack, job: Path, name: str
) -> None:
    classes = [ClassQuality(label, 0.5, 0.75, 0.6, 4) for label in range(3)]
    stack.put_results(name, stack.put_epochs(name, 3), per_class=classes)
    result = invoke("run", job, "--name", name)

    row = r"^ +(\d)  +(\S+)  +(\S+)  +(\S+)  +(\S+)(?:  +(\S+))?$"
    rows = re.findall(row, result.stdout, re.M)
    assert [row[0] for row in rows] == ["1", "2", "3"]
    assert rows[2] == ("3", "0.333333", "0.8333", "0.25", "0.000125", "converged")
    assert "$ 0.000375: AWS list prices × local seconds\n" in result.stdout
    assert f"{name}: converged after 3 epochs" in result.stdout
    assert "no improvement for 2 epochs" in result.stdout
    assert "  per-class accuracy: 0: 0.7500, 1: 0.7500, 2: 0.7500\n" in result.stdout
    last = result.stdout.splitlines()[-1]
    assert last.split() == ["report", f"runs/{name}/report.html"]
    assert Path("runs", name, "model.safetensors").read_bytes() == b"arrays"
    assert "look further" not in result.stdout  # nothing failed, nothing was slow
    assert "\x1b" not in result.stdout


def test_a_run_in_json_is_a_line_for_each_event(
    stack: MotoStack, job: Path, name: str, tmp_path: Path
) -> None:
    started, *epochs, document = json_lines("run", job, "--name", name, "--out", "results")

    assert started["event"] == "started"
    assert started["execution_arn"].endswith(f":{name}")
    reports = [msgspec.to_builtins(epoch_report(epoch, last=epoch == 3)) for epoch in (1, 2, 3)]
    for report in reports:
        del report["functions"]
    assert epochs == [{"event": "epoch", "job_id": name, **report} for report in reports]
    assert document["event"] == "result"
    assert document["job_id"] == name
    assert document["status"] == "SUCCEEDED"
    assert document["epochs"] == 3
    assert set(document["files"]) >= {"model", "model_card", "report", "history"}
    assert set(document) <= {"event", *documented("result")}
    assert set(started) <= {"event", *documented("started")}
    assert all(Path(path).is_file() for path in document["files"].values())


def documented(event: str) -> list[str]:
    """Return the fields of an event in docs/json_lines.md."""
    lines = (ROOT / "docs" / "json_lines.md").read_text(encoding="utf-8").splitlines()
    (row,) = (line for line in lines if line.startswith(f"| `{event}` |"))
    return re.findall(r"`(\w+)`", row)


def test_a_detached_run_can_be_watched_afterwards(job: Path, name: str) -> None:
    started = last_line("run", job, "--name", name, "--detach")
    assert started["job_id"] == name

    for execution in (name, started["execution_arn"]):
        assert last_line("watch", execution)["decision"] == "converged"


def test_workers_far_above_the_cores_of_this_machine_are_noted(job: Path, name: str) -> None:
    job.write_text(json.dumps({**JOB, "workers": 1500}), encoding="utf-8")

    first, second, *_ = invoke("run", job, "--name", name, "--detach").stdout.splitlines()

    assert first == (
        f"note: 1500 workers share the {os.cpu_count()} cores of this machine and start slowly"
    )
    assert second == f"started {name}"
    assert crowding_note(32, cores=2) is None
    assert crowding_note(33, cores=2) is not None


OWN_JOB = JOB | {"model": {"name": "neural", "entry_point": "net:make"}, "algorithm": None}


def test_the_code_of_a_network_is_sent_once_and_named_in_the_job(
    stack: MotoStack, job: Path, name: str, tmp_path: Path
) -> None:
    job.write_text(json.dumps(OWN_JOB), encoding="utf-8")
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "net.py").write_text("raise SystemExit('it runs in functions alone')")

    shown = [
        invoke("run", job, "--name", each, "--code", "code", "--detach").stdout.splitlines()[:2]
        for each in (name, f"{name}-2")
    ]

    for (line, place), what in zip(shown, ("sent to", "unchanged in"), strict=True):
        assert re.fullmatch(rf"code: 1 file, \d+ bytes zipped, {what} the stack's bucket:", line)
        assert len(place) < 80
    started = stack.client().named(name).state
    bucket, _, key = json.loads(started.job)["code"].removeprefix("s3://").partition("/")
    stored = stack.service("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    assert key == keys.code(hashlib.sha256(stored).hexdigest())
    assert [place.strip() for _, place in shown] == [key, key]


def test_code_that_lacks_the_entry_point_is_refused_before_any_request(
    job: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    job.write_text(json.dumps(OWN_JOB), encoding="utf-8")
    (tmp_path / "other.py").write_text("")
    for code, expected in (
        ("other.py", "model.entry_point: expected the module 'net' in the code, as net.py; it has"),
        ("lost", "code: 'lost' cannot be read: No such file or directory"),
    ):
        result = invoke("run", job, "--code", code, code=2)
        assert expected in " ".join(result.stderr.split())
    job.write_text(json.dumps(JOB), encoding="utf-8")
    result = invoke("run", job, "--code", "other.py", code=2)
    assert "code: has no effect without model.entry_point or" in " ".join(result.stderr.split())
    job.write_text(json.dumps(OWN_JOB), encoding="utf-8")
    result = invoke("run", job, code=2)
    assert "`stepml run JOB.json --code PATH` makes one" in " ".join(result.stderr.split())


def test_a_run_without_a_name_gets_one(job: Path) -> None:
    started = last_line("run", job, "--detach")

    assert re.fullmatch(r"job-\d{8}-\d{6}-[0-9a-f]{3}", started["job_id"])


def test_a_failed_run_is_one_line_about_its_first_error(job: Path, name: str) -> None:
    result = invoke("run", job, "--name", name, "--stack", "failing", code=1)

    assert result.stderr.splitlines() == [
        "BadRowError: data/x.csv, line 17",
        "  data.on_bad_row 'skip' leaves such rows out",
        f"look further: stepml logs {name} --stack failing",
        f"report: runs/{name}/report.html",
        "after correcting the job or its data: stepml run JOB.json --name OTHER --stack failing",
    ]


def test_a_failed_run_in_json_has_error_and_message(job: Path, name: str) -> None:
    document = last_line("run", job, "--name", name, "--stack", "failing", code=1)

    assert document["error"] == "BadRowError"
    assert document["message"] == "data/x.csv, line 17"
    assert document["status"] == "FAILED"
    assert document["job_id"] == name


@pytest.fixture
def doubtful(stack: MotoStack) -> str:
    """The name of a run whose report has a warning."""
    name = f"run-{uuid.uuid4().hex[:8]}"
    warnings = [JobWarning(code="loss_rose", text="the validation loss rose")]
    stack.put_results(name, stack.put_epochs(name, 2), warnings=warnings)
    return name


def test_warnings_are_an_error_only_if_asked_for(job: Path, doubtful: str) -> None:
    assert "warning: the validation loss rose" in invoke("run", job, "--name", doubtful).stderr

    strict = invoke("watch", doubtful, "--strict", code=4)

    assert strict.stderr.splitlines() == [
        "warning: the validation loss rose",
        f"DoubtfulResultError: {doubtful} has a model, but also 1 warning, and is strict",
    ]
    assert "converged after 2 epochs" in strict.stdout
    document = last_line("watch", doubtful, "--strict", code=4)
    assert document["error"] == "DoubtfulResultError"
    assert document["warnings"][0]["code"] == "loss_rose"


def test_a_run_without_warnings_may_be_strict(stack: MotoStack, job: Path, name: str) -> None:
    started = last_line("run", job, "--name", name, "--strict", "--detach")
    assert last_line("watch", name, "--strict")["decision"] == "converged"
    described = stack.service("stepfunctions").describe_execution(
        executionArn=started["execution_arn"]
    )
    assert json.loads(described["input"]) == {**JOB, "strict": True}


def test_a_strict_job_with_a_model_is_fetched_all_the_same(job: Path, doubtful: str) -> None:
    result = invoke("run", job, "--name", doubtful, "--stack", "doubtful", code=4)

    assert "DoubtfulResultError" in result.stderr
    assert Path("runs", doubtful, "model.safetensors").is_file()


def test_a_strict_job_on_doubtful_data_has_no_model(job: Path) -> None:
    name = f"run-{uuid.uuid4().hex[:8]}"
    result = invoke("run", job, "--name", name, "--stack", "doubtful", code=4)

    assert result.stderr.splitlines() == [
        "DoubtfulResultError: a warning: odd",
        f"look further: stepml logs {name} --stack doubtful",
        f"report: runs/{name}/report.html",
        "after correcting the job or its data: stepml run JOB.json --name OTHER --stack doubtful",
    ]


def test_a_name_that_was_used_is_bad_input(job: Path, name: str) -> None:
    invoke("run", job, "--name", name)
    job.write_text(JOB_TEXT.replace('"max_epochs": 3', '"max_epochs": 4'), encoding="utf-8")

    assert last_line("run", job, "--name", name, code=2)["error"] == "RunNameTakenError"


@pytest.mark.parametrize("command", ["watch", "epochs", "logs", "stop", "retry"])
def test_a_run_that_does_not_exist_is_one_line(command: str) -> None:
    result = invoke(command, "absent", code=2)

    assert result.stderr.startswith(
        "ExecutionNotFoundError: no run named 'absent' at http://127.0.0.1:"
    )
    assert result.stderr.count("\n") == 1


def test_a_run_with_a_typing_error_is_suggested(job: Path, name: str) -> None:
    invoke("run", job, "--name", name)

    for given in (name.upper(), f"{name[:-1]}_"):
        assert f"(did you mean {name!r}?)" in invoke("epochs", given, code=2).stderr


def test_a_missing_stack_is_one_line(job: Path) -> None:
    result = invoke("run", job, "--stack", "absent", code=3)

    assert result.stderr.startswith("StackNotFoundError: no stack 'absent' at http://127.0.0.1:")
    assert result.stderr.count("\n") == 1


def test_epochs_are_a_table(stack: MotoStack, job: Path, name: str) -> None:
    invoke("run", job, "--name", name)
    stack.run_child(f"{name}-e1-r0-t0")
    stack.run_child(f"{name}-e3-r0-t1")

    lines = invoke("epochs", name).stdout.splitlines()
    document = invoke_json("epochs", name)

    assert lines[0].split() == [
        "epoch",
        "attempt",
        "status",
        "loss",
        "accuracy",
        "seconds",
        "cost",
        "$",
        "note",
    ]
    assert lines[1].split()[:5] == ["1", "1", "SUCCEEDED", "1.000000", "0.5000"]
    assert lines[2].split()[-3:] == ["0.25", "0.000125", "converged"]
    assert all(len(line) <= 80 for line in lines)
    attempts = document["epochs"]
    assert [(each["epoch"], each["attempt"], each["retry"]) for each in attempts] == [
        (1, 1, 0),
        (3, 1, 1),
    ]
    assert attempts[1]["total_cost_usd"] == 0.000375
    assert attempts[1]["stragglers"] == []


def test_parts_and_functions_of_epochs_are_shown(stack: MotoStack, job: Path, name: str) -> None:
    times = FunctionTimes("rank", 0, 0.5, Parts(compute=2), traffic={"s3": Traffic(3, 4, 5)})
    first, last = stack.put_epochs(name, 2)
    last = replace_fields(last, quantiles={"compute": [2.0] * 5}, communication_share=0.25)
    stack.put_results(name, [first, last])
    stack.put(keys.epoch_report(name, 2), encode(last))  # of many ranks
    stack.put(keys.ranks(name, 2), msgspec.json.encode(times) + b"\n")
    invoke("run", job, "--name", name)
    for epoch in (1, 2):
        stack.run_child(f"{name}-e{epoch}-r0-t0")
    table = invoke("epochs", name, "--parts").stdout.splitlines()
    assert table[1].split() == ["2", *["-"] * 2, "2.000", *["-"] * 6, "25%"]
    functions = invoke("epochs", name, "--parts", "--epoch", "2").stdout.splitlines()
    assert functions[2].split()[:5] == ["rank", "0", "0.500", "-", "2.000"]
    found = [each["functions"] for each in invoke_json("epochs", name, "--parts")["epochs"]]
    assert (found[0], found[1][0]["parts"]) == ([], {"compute": 2.0})
    rows = [*csv.DictReader(invoke("epochs", name, "--parts", "--csv").stdout.splitlines())]
    assert [(row["epoch"], row["s3_requests"]) for row in rows] == [("2", "3")]
    assert len([*csv.DictReader(invoke("epochs", name, "--csv").stdout.splitlines())]) == 2


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--csv", "--json"], "--csv and --json exclude each other"),
        (["--rank", "0"], "--rank: goes with --parts"),
        (["--parts", "--rank", "9"], "--rank: expected 0 to"),
        (["--epoch", "9"], "--epoch: this job has no attempt at epoch 9"),
    ],
)
def test_parts_that_do_not_exist_are_refused(
    stack: MotoStack, job: Path, name: str, flags: list[str], message: str
) -> None:
    invoke("run", job, "--name", name)
    result = invoke("epochs", name, *flags, code=2)
    assert message in result.stderr + result.stdout


def fail_child(stack: MotoStack, name: str, ranks: list[int], failed: int) -> None:
    """Run an epoch of the stack ``failing`` in which one rank is killed."""
    items = [{"fails": rank == failed} for rank in ranks]
    arn = stack.run_child(name, "failing", epoch=1, ranks=ranks, items=items)
    states = stack.service("stepfunctions")
    deadline = time.monotonic() + 240
    while states.describe_execution(executionArn=arn)["status"] == "RUNNING":
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture
def failed(stack: MotoStack, job: Path, name: str) -> str:
    """A run whose epoch failed twice: one rank was killed, another raised an error."""
    invoke("run", job, "--name", name, "--stack", "failing", code=1)
    record = Failure(
        rank=3,
        epoch=1,
        error="MemoryError",
        message="a shard of 3 GB " * 20,
        log_group="/stepml/stepml/executor",
        log_stream="2026/01/02/[$LATEST]" + "0" * 32,
    )
    fail_child(stack, f"{name}-e1-r0-t0", [5, 6, 7], failed=6)
    stack.put(keys.failure(name, f"{name}-e1-r0-t1.0"), encode(record))
    fail_child(stack, f"{name}-e1-r0-t1", [5, 6, 7], failed=6)
    return name


def test_attempts_that_failed_say_why_below(failed: str) -> None:
    lines = invoke("epochs", failed, "--stack", "failing").stdout.splitlines()
    first, second = invoke_json("epochs", failed, "--stack", "failing")["epochs"]

    assert all(len(line) <= 80 for line in lines)
    assert re.fullmatch(r" +1 +1  FAILED +\d+\.\d\d", lines[1])
    assert lines[2] == "       rank 6: Runtime.ExitError: signal: killed"
    assert lines[4].startswith("       rank 3: MemoryError: a shard of 3 GB")
    assert lines[6].endswith(" …")
    assert lines[7] == "       log stream 2026/01/02/[$LATEST]" + "0" * 32
    assert (first["failure"]["rank"], first["failure"]["log_stream"]) == (6, "")
    assert second["failure"]["log_group"] == "/stepml/stepml/executor"
    assert [each["attempt"] for each in (first, second)] == [1, 2]


def test_a_job_without_epochs_says_so(job: Path, name: str) -> None:
    invoke("run", job, "--name", name)

    assert invoke("epochs", name).stdout == f"{name} has no epochs yet\n"


def test_a_job_is_stopped_once(
    stack: MotoStack, job: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _say_when_stopped(monkeypatch)
    invoke("run", job, "--name", name, "--stack", "endless", "--detach")

    lines = invoke("stop", name, "--stack", "endless").stdout.splitlines()
    again = invoke("stop", name, "--stack", "endless").stdout
    document = invoke_json("stop", name, "--stack", "endless")

    assert lines[0] == f"stopped {name}"
    assert lines[-1] == f"resume it: stepml retry {name} --stack endless"
    assert all(len(line) <= 80 for line in lines)
    assert again == f"{name} has already ended: ABORTED; nothing was changed\n"
    assert (document["status"], document["stopped"]) == ("ABORTED", False)


def _say_when_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let StopExecution return the stop time, as on AWS; moto does not."""
    stop = StepFunctionResponse.stop_execution

    def stop_execution(self: Any) -> ActionResult:
        stop(self)
        return ActionResult({"stopDate": datetime.now(UTC)})

    monkeypatch.setattr(StepFunctionResponse, "stop_execution", stop_execution)


def test_a_retry_that_needs_a_new_execution_says_so_and_is_watched(
    stack: MotoStack, job: Path, name: str
) -> None:
    invoke("run", job, "--name", name, "--stack", "failing", code=1)

    result = invoke(
        "retry", name, "--epoch", "2", "--name", f"{name}-b", "--stack", "failing", code=1
    )
    document = last_line("retry", name, "--detach", "--stack", "failing")

    assert result.stdout.splitlines()[:3] == [
        f"{name}-b: a new execution, from epoch 2 on",
        f"  the epochs before it are those of {name}",
        "  why a new one: an epoch was given",
    ]
    assert "after correcting the job or its data: stepml run JOB.json --name OTHER" in result.stderr
    # All three epochs are finished; only the last one can be trained again.
    assert (document["how"], document["first_epoch"]) == ("resumed", 3)
    assert document["job_id"].startswith(f"{name}-again-")


def test_a_retry_of_a_run_that_succeeded_is_refused_with_what_there_is(
    job: Path, name: str
) -> None:
    invoke("run", job, "--name", name)

    line = invoke("retry", name, code=2).stderr
    document = last_line("retry", name, "--epoch", "9", code=2)

    assert line.startswith(f"RetryRefusedError: {name} has succeeded: there is nothing to retry")
    assert line.endswith("choose its first epoch from 1 to 3\n")
    assert document["message"] == (
        f"epoch: expected 1 to 3, as {name} has finished 3 epochs, got 9"
    )


def test_logs_are_a_line_each(stack: MotoStack, job: Path, name: str) -> None:
    started = last_line("run", job, "--name", name)
    assert started["status"] == "SUCCEEDED"
    client = stack.client()
    moment = client.named(name).state.started_at
    entry = {"level": "INFO", "message": "rank trained", "job_id": name, "epoch": 2, "rank": 1}
    logs = stack.service("logs")
    group = "/stepml/stepml/executor"
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
    refusal = f"BadInputError: --rank: expected 0 to {parse_job(JOB_TEXT).workers - 1}, got 9\n"
    assert invoke("logs", name, "--rank", "9", code=2).stderr == refusal


def test_numbers_of_a_log_line_are_rounded_and_declarations_for_cloudwatch_left_out() -> None:
    fields = {"seconds": 0.14895053899999766, "rows": 5, "cost": 1.25e-7, "_aws": {"Timestamp": 1}}
    line = LogLine("1", 0, "executor", "INFO", "rank trained", 2, 1, fields)

    assert str(line).endswith("rank trained seconds=0.148951 rows=5 cost=1.25e-07")


@pytest.mark.parametrize(
    ("decision", "word"), [("stopped", "finished"), ("converged", "converged")]
)
def test_a_job_that_reached_its_last_epoch_is_finished(decision: str, word: str) -> None:
    report = msgspec.structs.replace(epoch_report(3, last=True), decision=decision)

    assert epoch_row(report).split()[-1] == word


@pytest.mark.parametrize(
    ("error", "message", "hint"),
    [
        ("BadRowError", "x.csv, line 2: column 1 is empty, a missing value", "data.missing 'mean'"),
        ("BadRowError", "x.csv, line 2: the label is empty, a missing value", "data.on_bad_row"),
        ("BadRowError", "x.csv, line 2: column 1 is 'oops', not a number", "data.on_bad_row"),
        ("BadRowError", "x, row 2: feature 0 is nan, a missing value", "data.missing 'mean'"),
        ("BadRowError", "x.csv, line 2: column 3 is empty, a missing label", "data.on_bad_row"),
        ("BadRowError", "x, line 2: the pair '2:nan' is 'nan', a missing value", "data.on_bad_row"),
        ("BadRowError", "x, line 2: … indices count from 1, unless data.zero_based is true", ""),
        ("BadRowError", "x.csv, line 2: quoted fields are not supported: '\"1\"'", "data.quoted"),
        (
            "BadRowError",
            "x.csv, line 2: column 2 ('b') is 'z', not a number: '1,z'",
            "data.columns",
        ),
        ("BadRowError", "x.csv: column 2 ('b') is text in the first 99 rows, such as 'z'", ""),
        ("BadLabelError", "x.csv has 3 labels", ""),
    ],
)
def test_a_hint_names_a_field_that_helps(error: str, message: str, hint: str) -> None:
    found = field_hint(ClientFailure(error, message))

    assert found.startswith(hint)
    assert bool(found) == bool(hint)


CORRECTION = "after correcting the job{}: stepml run JOB.json --name OTHER --local"
CHECK = "for every mistake at once: stepml check JOB.json --local"
OTHER_NAME = "under another name: stepml run JOB.json --name OTHER --local"
RETRY = "{} stepml retry x --local"


@pytest.mark.parametrize(
    ("lines", "errors"),
    [
        ([CORRECTION.format("")], ["ModelTooLargeError"]),
        ([CHECK, CORRECTION.format("")], ["InvalidJobError"]),
        ([OTHER_NAME], ["JobIdTakenError"]),
        ([CHECK, CORRECTION.format(" or its data")], ["BadLabelError", "EmptyDataError"]),
        ([CORRECTION.format(" or its data")], ["TrainingDivergedError", "CompressionError"]),
        (
            [CORRECTION.format(" or its code").replace("JOB.json", "JOB.json --code PATH")],
            ["InvalidCodeError", "InvalidNetworkError"],
        ),
        (
            [RETRY.format("resume it:   ")],
            ["ValueChangedError", "DamagedValueError", "Runtime.ExitError", "States.Timeout"],
        ),
        *(
            ([RETRY.format(f"once {change}:"), f"or, {CORRECTION.format('')}"], [error])
            for error, change in (
                ("DataNotFoundError", "the data are there"),
                ("DataDeniedError", "the functions may read the data"),
                ("NotAvailableError", "the stack provides it"),
                ("NotEnoughConcurrencyError", "the account may run more functions"),
                ("NotEnoughServerMemoryError", "the server has more memory"),
            )
        ),
    ],
)
def test_a_retry_is_suggested_where_it_can_help(lines: list[str], errors: list[str]) -> None:
    for error in errors:
        assert next_steps(ClientFailure(error, ""), "x", " --local") == lines


def test_what_failed_is_a_red_line_on_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fields = {"error": "BadRowError", "reason": "data/x.csv, line 17", "rows": 5}
    line = LogLine("1", 0, "executor", "ERROR", "executor failed", 2, 1, fields)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)

    Output(as_json=False).line(str(line), log_style(line))

    output = capsys.readouterr().out
    assert output.startswith("\x1b[31m")
    assert (
        "executor, epoch 2, rank 1: executor failed: BadRowError: data/x.csv, line 17 rows=5"
        in output
    )
    assert log_style(replace(line, level="INFO")) is None


@pytest.mark.parametrize("is_terminal", [True, False])
def test_slow_work_is_shown_on_a_terminal(
    is_terminal: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm" if is_terminal else "dumb")
    monkeypatch.setenv("FORCE_COLOR", "1")

    with Output(as_json=False).working("stopping x"):
        pass
    with Output(as_json=True).working("stopping y"):
        pass

    output = capsys.readouterr().out
    assert ("stopping x" in output) == is_terminal
    assert "stopping y" not in output


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
