"""The command line like a user's: processes of its own, with the whole product behind them."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest
from safetensors.numpy import load_file

from stepml.local.ports import port_of, reserve_port
from tests.faults.placements import Point
from tests.support.paths import ROOT
from tests.support.running_aws import WAIT_S, RunningAws, eventually, running_aws

EXAMPLES = ROOT / "examples"


class CommandLine:
    """Runs ``stepml`` with its own endpoint and directories."""

    def __init__(self, endpoint_url: str | None, directory: Path) -> None:
        chosen = {} if endpoint_url is None else {"AWS_ENDPOINT_URL": endpoint_url}
        unset = {"AWS_ENDPOINT_URL", "STEPML_LOCAL", "AWS_PROFILE"}
        inherited = {name: value for name, value in os.environ.items() if name not in unset}
        self.directory = directory
        self.environment = {
            **inherited,
            **chosen,
            "STEPML_STATE_DIR": str(directory / "state"),
            "STEPML_CACHE_DIR": str(directory / "cache"),
            "PYTHONWARNINGS": "error",
        }

    @contextmanager
    def start(self, *arguments: str | Path) -> Iterator[subprocess.Popen[str]]:
        """Start a command. It ends with the block, by itself, or with a block that fails."""
        with subprocess.Popen(
            [sys.executable, "-m", "stepml", *map(str, arguments)],
            env=self.environment,
            cwd=self.directory,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                yield process
            except BaseException:
                process.kill()  # it may follow a job that the test holds
                raise

    def run(self, *arguments: str | Path, code: int = 0) -> tuple[str, str]:
        """Run a command and return its stdout and stderr."""
        with self.start(*arguments) as process:
            stdout, stderr = process.communicate(timeout=WAIT_S)
        assert process.returncode == code, stdout + stderr
        assert "Traceback" not in stdout + stderr
        return stdout, stderr

    def run_json(self, *arguments: str | Path, code: int = 0) -> Any:
        stdout, stderr = self.run(*arguments, "--json", code=code)
        assert stderr == ""
        is_followed = arguments[0] in ("run", "watch", "retry")  # then there is a line an event
        return json.loads(stdout.splitlines()[-1] if is_followed else stdout)


def read_until(process: subprocess.Popen[str], text: str) -> None:
    """Read the output of a command up to a line with ``text``."""
    assert process.stdout is not None
    shown = []
    while text not in (line := process.stdout.readline()):
        shown.append(line)
        assert line, shown  # it has ended


@pytest.fixture
def stepml(local_stack: Any, tmp_path: Path) -> CommandLine:
    return CommandLine(local_stack.endpoint_url, tmp_path)


@pytest.fixture
def digits(stepml: CommandLine, local_stack: Any) -> Path:
    """The example's job, with its data uploaded."""
    uploaded = stepml.run_json("data", "get", "digits", "--upload")
    path = EXAMPLES / "digits_logistic.json"
    place = json.loads(path.read_text(encoding="utf-8"))["data"]["uri"]
    assert uploaded["uri"] == f"s3://{local_stack.bucket}/{place}"
    return path


@pytest.fixture
def name() -> str:
    return f"cli-{uuid.uuid4().hex[:8]}"


def test_an_example_is_trained_watched_and_looked_at(
    stepml: CommandLine, digits: Path, name: str
) -> None:
    stepml.run("init", digits.stem, "mine.yaml")
    stdout, stderr = stepml.run("run", "mine.yaml", "--name", name)

    assert stderr == ""
    assert "partitioning" in stdout or "assembling" in stdout or "training" in stdout
    rows = re.findall(r"^ +\d+  +\d+\.\d+  +\d+\.\d+  +\d+\.\d+  +\d+\.\d+", stdout, re.M)
    arrays = load_file(stepml.directory / "runs" / name / "model.safetensors")
    report = json.loads((stepml.directory / "runs" / name / "report.json").read_text())
    assert arrays
    assert len(rows) == report["epochs"] == len(report["history"])
    history = (stepml.directory / "runs" / name / "history.jsonl").read_text().splitlines()
    assert [json.loads(line)["loss"] for line in history] == [
        each["loss"] for each in report["history"]
    ]
    assert f"{report['metrics']['accuracy']:.4f}" in stdout
    assert report["metrics"]["accuracy"] > 0.9
    assert "data: 1,797 rows, 65 columns (csv, header); label 'digit', 10 classes" in stdout

    table, _ = stepml.run("epochs", name)
    assert table.count("SUCCEEDED") == report["epochs"]
    epochs = stepml.run_json("epochs", name)["epochs"]
    assert [each["loss"] for each in epochs] == [each["loss"] for each in report["history"]]

    lines = stepml.run_json("logs", name, "--rank", "1")["lines"]
    trained = [line for line in lines if line["function"] == "executor"]
    assert {line["epoch"] for line in trained} == set(range(1, report["epochs"] + 1))
    assert {line["rank"] for line in lines} == {1}


def test_a_detached_run_is_watched_from_elsewhere(
    stepml: CommandLine, digits: Path, name: str
) -> None:
    started = stepml.run_json("run", digits, "--name", name, "--detach")
    watched = stepml.run_json("watch", started["execution_arn"])

    assert watched["job_id"] == name
    assert watched["status"] == "SUCCEEDED"
    assert watched["dataset"]["label"] == "digit"
    assert watched["warnings"] == []
    assert all((stepml.directory / path).is_file() for path in watched["files"].values())


def test_a_bad_row_is_one_line_with_object_and_line(
    stepml: CommandLine, local_stack: Any, tmp_path: Path, job: dict[str, Any], name: str
) -> None:
    uri = local_stack.upload(f"data/{name}.csv", b"a,label\n1,0\n2,1\nx,1\n" + b"3,0\n" * 50)
    path = tmp_path / "job.json"
    path.write_text(json.dumps({**job, "data": {**job["data"], "uri": uri}}), encoding="utf-8")

    _, stderr = stepml.run("run", path, "--name", name, code=1)
    document = stepml.run_json("watch", name, code=1)

    first, *hints = stderr.splitlines()
    assert first.startswith("BadRowError: ")
    assert f"data/{name}.csv" in first
    assert "line 4" in first
    assert "data.on_bad_row" in hints[0]
    assert hints[1:] == [
        f"look further: stepml logs {name}",
        f"report: runs/{name}/report.html",
        "after correcting the job or its data: stepml run JOB.json --name OTHER",
    ]
    assert document["error"] == "BadRowError"


def test_ctrl_c_ends_the_watching_and_not_the_job(
    stepml: CommandLine, local_stack: Any, tmp_path: Path, job: dict[str, Any], name: str
) -> None:
    path = tmp_path / "job.json"
    path.write_text(json.dumps(job), encoding="utf-8")

    with local_stack.holding(name, Point("executor", 2, 0)):
        with stepml.start("run", path, "--name", name) as process:
            read_until(process, "training")
            process.send_signal(signal.SIGINT)
            _, stderr = process.communicate(timeout=WAIT_S)
        stopped = stepml.run_json("stop", name)

    assert process.returncode == 130
    assert f"{name} continues" in stderr
    assert f"stepml watch {name}" in stderr
    assert f"stepml stop {name}" in stderr
    assert (stopped["status"], stopped["stopped"]) == ("ABORTED", True)  # it was running


def test_a_stopped_job_ends_its_watching(
    stepml: CommandLine, local_stack: Any, tmp_path: Path, job: dict[str, Any], name: str
) -> None:
    path = tmp_path / "job.json"
    path.write_text(json.dumps(job), encoding="utf-8")

    with local_stack.holding(name, Point("executor", 2, 0)):
        started = stepml.run_json("run", path, "--name", name, "--detach")
        with stepml.start("watch", name) as process:
            read_until(process, "training")
            local_stack.aws.client("stepfunctions").stop_execution(
                executionArn=started["execution_arn"], error="Enough", cause="it was a test"
            )
            _, stderr = process.communicate(timeout=WAIT_S)

    assert process.returncode == 1
    assert stderr.startswith("Enough: it was a test\n")


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[CommandLine]:
    """A command line without an endpoint; its local AWS is always stopped at the end."""
    command_line = CommandLine(None, tmp_path)
    yield command_line
    command_line.run("local", "down")


@pytest.fixture
def port() -> Iterator[int]:
    """A free port of this machine, reserved for a local AWS."""
    with reserve_port(0) as reserved:
        yield port_of(reserved)


def answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/_stepml/status", timeout=5):
            return True
    except OSError:
        return False


def test_the_local_aws_goes_up_and_down(alone: CommandLine, port: int) -> None:
    # Neither of these is the local AWS's; tests/services/test_identity.py has more of them.
    alone.environment |= {"AWS_PROFILE": "absent", "AWS_DEFAULT_REGION": "eu-central-1"}
    alone.environment |= {"HTTP_PROXY": "http://127.0.0.1:9", "AWS_USE_FIPS_ENDPOINT": "true"}
    up = alone.run_json("local", "up", "--port", str(port), "--concurrency", "20")
    assert up["endpoint_url"] == f"http://127.0.0.1:{port}"
    assert up["concurrency"] == 20
    assert set(up["outputs"]) >= {"Bucket", "TrainStateMachineArn", "EpochStateMachineArn"}

    again = alone.run_json("local", "up", "--console")
    assert (again["pid"], again["outputs"]) == (up["pid"], up["outputs"])
    console = again["console"]["url"]
    with urllib.request.urlopen(console) as page:
        assert b"<title>Jobs" in page.read()
    status = alone.run_json("local", "status")
    assert (status["pid"], status["console"]) == (up["pid"], again["console"])
    assert alone.run_json("epochs", "absent", "--local", code=2)["error"] == (
        "ExecutionNotFoundError"
    )

    assert alone.run_json("local", "down") == {"running": False, "ended": True}
    assert not answers(port)
    with pytest.raises(URLError, match="refused"):
        urllib.request.urlopen(console)
    assert alone.run_json("local", "status", code=3) == {"running": False}


def test_ctrl_c_in_make_run_ends_the_watching_and_not_the_local_aws(
    alone: CommandLine, tmp_path: Path
) -> None:
    state = Path(alone.environment["STEPML_STATE_DIR"])
    state.mkdir()
    with (
        # One of its own, into which `make run` deploys: others have functions that can be held.
        # The ranks run one after another, so the job takes half a minute.
        running_aws(tmp_path / "aws", concurrency=1) as aws,
        recorded(aws, state / "local.json"),
        subprocess.Popen(
            ["make", "--old-file=install", f"STEPML={sys.executable} -m stepml", "run"],
            cwd=ROOT,
            env={**alone.environment, "PIP_NO_INDEX": "1"},  # so that it trains the digits
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        ) as process,
    ):
        try:
            read_until(process, "training")
            os.killpg(process.pid, signal.SIGINT)
            output, _ = process.communicate(timeout=WAIT_S)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)  # else the block would wait for its job
            raise
        assert "continues, as long as its AWS runs" in output
        assert 'The local AWS goes on; "make down" ends it.' in output
        name = re.search(r"stepml stop (\S+) --local", output)
        assert name is not None
        alone.environment["AWS_ENDPOINT_URL"] = aws.endpoint_url
        assert alone.run_json("stop", name[1])["status"] in ("ABORTED", "SUCCEEDED")
        assert aws.process.poll() is None


@contextmanager
def recorded(aws: RunningAws, record: Path) -> Iterator[None]:
    """Record a local AWS as the one of this machine, until the block ends."""
    status = aws.status()
    record.write_text(json.dumps({name: status[name] for name in ("pid", "port", "id")}))
    try:
        yield
    finally:
        record.unlink()


def test_a_taken_port_is_one_line(alone: CommandLine) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        _, stderr = alone.run("local", "up", "--port", str(port), code=3)

    assert f"port {port} of 127.0.0.1 is used by another program" in stderr
    assert stderr.count("\n") == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_in_the_foreground_a_signal_ends_it(
    alone: CommandLine, port: int, number: signal.Signals
) -> None:
    with alone.start("local", "up", "--foreground", "--port", str(port)) as process:
        assert process.stdout is not None
        assert "the local AWS runs on" in process.stdout.readline()
        process.send_signal(number)
        _, stderr = process.communicate(timeout=WAIT_S)

    assert process.returncode == 0, stderr
    eventually(lambda: answers(port), lambda answered: not answered)


TABLE = "id,city,age,member,since,left\n" + "".join(
    f"u{n},{('Rome', 'Oslo', '')[n % 3]},{'' if n % 7 == 0 else n % 50 + 18},"
    f"{n % 4 == 0},2020-{n % 12 + 1:02}-01,{('no', 'yes')[n % 3 == 1]}\n"
    for n in range(400)
)


def test_a_table_of_ones_own_is_put_shown_checked_trained_on_and_predicted(
    stepml: CommandLine, tmp_path: Path
) -> None:
    (tmp_path / "people.csv").write_text(TABLE)
    key = f"data/{uuid.uuid4().hex}.csv"
    put, _ = stepml.run("data", "put", "people.csv", "--to", key)
    uri = put.splitlines()[-1]
    assert uri.endswith(key)

    here, there = (stepml.run_json("data", "show", place) for place in ("people.csv", uri))
    assert here | {"place": ""} == there | {"place": ""}
    kinds = [each["kind"] for each in there["columns"]]
    assert kinds == ["category", "category", "number", "boolean", "time"]

    job = tmp_path / "job.json"
    data = {"uri": uri, "columns": {"drop": ["id"]}, "dates": ["month"]}
    job.write_text(json.dumps({"data": data | {"label": "lef"}, "model": {"name": "svm"}}))
    assert len(stepml.run_json("check", job, code=2)["mistakes"]) == 1
    job.write_text(json.dumps({"data": data, "model": {"name": "logistic_regression"}}))
    checked = stepml.run_json("check", job)["data"]
    assert (checked["classes"], checked["left_out"]) == (["no", "yes"], ["id"])

    ran = stepml.run_json("run", job, "--name", f"people-{uuid.uuid4().hex[:8]}")
    report = json.loads(Path(tmp_path, ran["files"]["report"]).read_text())["dataset"]
    same = ("rows", "classes", "kinds", "levels", "fills", "features", "left_out", "notes")
    assert {name: report[name] for name in same} == {name: checked[name] for name in same}
    model = Path(tmp_path, ran["files"]["model"]).parent
    predicted, _ = stepml.run("predict", model, "people.csv")
    # Those who live in Oslo have left.
    labels = [line.rpartition(",")[2] for line in TABLE.splitlines()[1:]]
    found = [line.partition(",")[0] for line in predicted.splitlines()[1:]]
    assert sum(a == b for a, b in zip(labels, found, strict=True)) > 395
