"""The local AWS in the background: up, status, down, with nothing left behind."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from unittest.mock import ANY

import boto3
import pytest

from stepml.local import daemon
from stepml.local.ports import port_of, reserve_port
from stepml.local_identity import ACCESS_KEY_ID, REGION, SECRET_ACCESS_KEY
from tests.support.deployment import deploy
from tests.support.paths import APPLICATION
from tests.support.running_aws import WAIT_S, eventually, running_aws


@pytest.fixture
def port(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A free port, and a state directory."""
    monkeypatch.setenv("STEPML_STATE_DIR", str(tmp_path / "state"))
    with reserve_port(0) as reserved:
        yield port_of(reserved)
        daemon.down()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, daemon.LocalStatus]]:
    """A state directory, and the server that runs in it."""
    state = tmp_path_factory.mktemp("shared") / "state"
    with reserve_port(0) as reserved, pytest.MonkeyPatch.context() as patch:
        patch.setenv("STEPML_STATE_DIR", str(state))
        yield state, daemon.up(port=port_of(reserved), concurrency=7)
        daemon.down()


@pytest.fixture
def started(
    shared: tuple[Path, daemon.LocalStatus], monkeypatch: pytest.MonkeyPatch
) -> daemon.LocalStatus:
    """A running server, for tests that change nothing of it."""
    state, status = shared
    monkeypatch.setenv("STEPML_STATE_DIR", str(state))
    return status


def is_alive(pid: int) -> bool:
    """Return whether a process is running; a zombie is not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def warm_function(endpoint_url: str) -> None:
    """Deploy the application and leave an environment of it idle."""
    deploy(endpoint_url, APPLICATION / "template.yaml", stack_name="app")
    functions = boto3.client(
        "lambda",
        endpoint_url=endpoint_url,
        region_name=REGION,
        aws_access_key_id=ACCESS_KEY_ID,
        aws_secret_access_key=SECRET_ACCESS_KEY,
    )
    functions.invoke(FunctionName="app-probe", Payload=b"{}")


def environment_pids(status: daemon.LocalStatus) -> list[int]:
    return [environment.pid for environment in status.environments if environment.pid]


def test_up_answers_and_down_leaves_nothing(port: int) -> None:
    started = daemon.up(port=port, concurrency=7)
    assert (started.port, started.concurrency) == (port, 7)
    assert started.endpoint_url == f"http://127.0.0.1:{port}"
    assert started.log_path.exists()
    warm_function(started.endpoint_url)
    seen = daemon.status()
    assert seen is not None
    assert [environment.function for environment in seen.environments] == ["app-probe"]
    pids = [seen.pid, *environment_pids(seen)]
    assert len(pids) == 2
    assert daemon.down() is True
    assert [pid for pid in pids if is_alive(pid)] == []
    assert daemon.status() is None
    assert daemon.down() is False


def test_up_twice_is_the_same_server(started: daemon.LocalStatus) -> None:
    second = daemon.up(port=started.port)
    assert (second.pid, second.port) == (started.pid, started.port)


def test_up_on_another_port_is_refused_while_one_runs(started: daemon.LocalStatus) -> None:
    with pytest.raises(daemon.LocalAwsError, match=f"already running on port {started.port}"):
        daemon.up(port=started.port + 1)


def test_up_with_another_concurrency_is_refused_while_one_runs(
    started: daemon.LocalStatus,
) -> None:
    with pytest.raises(daemon.LocalAwsError, match=r"--concurrency 7, not .* 3"):
        daemon.up(port=started.port, concurrency=3)
    assert daemon.up() == replace(started, uptime_s=ANY, environments=ANY)


def test_two_that_start_it_at_once_get_the_same_server(port: int) -> None:
    command = [sys.executable, "-m", "stepml", "local", "up", "--json", "--port", str(port)]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    answers = [json.loads(each.communicate(timeout=WAIT_S)[0]) for each in both]
    assert [each.returncode for each in both] == [0, 0]
    running = daemon.status()
    assert running is not None
    assert [each["pid"] for each in answers] == [running.pid, running.pid]


def test_a_server_that_does_not_answer_is_named_and_ended(port: int) -> None:
    started = daemon.up(port=port)
    os.kill(started.pid, signal.SIGSTOP)
    command = [sys.executable, "-m", "stepml", "local", "status"]
    status = subprocess.run(command, capture_output=True, text=True, check=False)
    assert status.returncode == 3
    assert f"process {started.pid}, the local AWS on port {port}, does not answer" in status.stderr
    assert status.stderr.count("\n") == 1
    assert daemon.down(wait_s=1.0) is True
    assert not is_alive(started.pid)
    assert daemon.down() is False


def test_a_server_that_does_not_listen_yet_is_ended(port: int, tmp_path: Path) -> None:
    code = "import time; time.sleep(600)"
    with subprocess.Popen([sys.executable, "-c", code, "stepml.local", "an-id"]) as starting:
        command_line = Path(f"/proc/{starting.pid}/cmdline")
        eventually(command_line.read_text, lambda text: "an-id" in text)  # it takes a moment
        (tmp_path / "state").mkdir()
        record = tmp_path / "state" / "local.json"
        record.write_text(json.dumps({"pid": starting.pid, "port": port, "id": "an-id"}))
        assert daemon.status() is None
        assert daemon.down() is True
        assert not is_alive(starting.pid)


def test_code_that_nothing_uses_is_removed_when_a_server_starts(port: int) -> None:
    warm_function(daemon.up(port=port).endpoint_url)
    code = Path(os.environ["STEPML_STATE_DIR"]) / "code"
    assert any(path.is_dir() for path in code.iterdir())
    with running_aws(code.parent):  # a second server in this directory changes nothing
        assert any(path.is_dir() for path in code.iterdir())
    daemon.down()
    daemon.up(port=port)
    assert not any(path.is_dir() for path in code.iterdir())


def test_a_taken_port_is_refused(port: int) -> None:
    with (
        socket.create_server(("127.0.0.1", port)),
        pytest.raises(daemon.PortTakenError, match=f"port {port} .* is used by another program"),
    ):
        daemon.up(port=port)
    assert daemon.status() is None


def test_a_server_of_another_directory_is_named(
    started: daemon.LocalStatus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STEPML_STATE_DIR", str(tmp_path / "elsewhere"))
    assert daemon.status() is None
    with pytest.raises(daemon.PortTakenError, match="another local AWS"):
        daemon.up(port=started.port)


def test_a_left_over_record_is_recognised(port: int) -> None:
    started = daemon.up(port=port)
    os.kill(started.pid, signal.SIGKILL)
    eventually(daemon.status, lambda status: status is None)
    # The recorded process id may belong to another process by now: here, to this test.
    record = Path(os.environ["STEPML_STATE_DIR"]) / "local.json"
    record.write_text(json.dumps({**json.loads(record.read_text()), "pid": os.getpid()}))
    assert daemon.status() is None
    assert daemon.down() is False
    assert daemon.up(port=port).pid != started.pid


def test_functions_end_when_their_server_is_killed(port: int) -> None:
    started = daemon.up(port=port)
    warm_function(started.endpoint_url)
    seen = daemon.status()
    assert seen is not None
    pids = environment_pids(seen)
    os.kill(started.pid, signal.SIGKILL)
    eventually(lambda: [pid for pid in pids if is_alive(pid)], lambda left: left == [])


def test_a_server_that_cannot_start_says_why(port: int) -> None:
    with pytest.raises(daemon.LocalAwsError, match="ended at once"):
        daemon.up(port=port, concurrency=-1)
    assert daemon.status() is None


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_foreground_server_ends_with_its_functions(
    tmp_path: Path, number: signal.Signals
) -> None:
    with running_aws(tmp_path) as aws:
        warm_function(aws.endpoint_url)
        children = Path(f"/proc/{aws.process.pid}/task/{aws.process.pid}/children")
        pids = [int(pid) for pid in children.read_text().split()]
        aws.process.send_signal(number)
        assert aws.process.wait(60) == 0
        eventually(lambda: [pid for pid in pids if is_alive(pid)], lambda left: left == [])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_nothing_outlives_a_command_in_the_foreground(port: int, number: signal.Signals) -> None:
    command = [sys.executable, "-m", "stepml", "local", "up", "--foreground", "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as foreground:
        started = eventually(daemon.status, lambda seen: seen is not None)
        warm_function(started.endpoint_url)
        seen = daemon.status()
        assert seen is not None
        pids = [seen.pid, *environment_pids(seen)]
        foreground.send_signal(number)
        foreground.wait(60)
    eventually(lambda: [pid for pid in pids if is_alive(pid)], lambda left: left == [])


def test_only_loopback_is_bound(started: daemon.LocalStatus) -> None:
    addresses = [
        line.split()[1]
        for table in ("/proc/net/tcp", "/proc/net/tcp6")
        for line in Path(table).read_text().splitlines()[1:]
        if line.split()[3] == "0A" and line.split()[1].endswith(f":{started.port:04X}")
    ]
    assert addresses == [f"0100007F:{started.port:04X}"]


def test_the_server_imports_nothing_that_it_does_not_need() -> None:
    program = """
import sys
from stepml.local.light_moto import import_moto
import_moto()
import stepml.local.server
from moto.ec2.models.instance_types import INSTANCE_TYPES
assert not INSTANCE_TYPES
print(*sys.modules)
"""
    listed = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
    )
    heavy = {"samtranslator", "numpy", "typer", "rich", "docker", "stepml.cli", "stepml.client"}
    heavy |= {"pydantic", "openapi_spec_validator.shortcuts"}  # moto loads them for API Gateway
    assert heavy & set(listed.stdout.split()) == set()


def test_down_is_bounded_while_a_function_runs(port: int) -> None:
    started = daemon.up(port=port)
    warm_function(started.endpoint_url)
    functions = boto3.client(
        "lambda",
        endpoint_url=started.endpoint_url,
        region_name=REGION,
        aws_access_key_id=ACCESS_KEY_ID,
        aws_secret_access_key=SECRET_ACCESS_KEY,
    )
    functions.invoke(
        FunctionName="app-probe", InvocationType="Event", Payload=json.dumps({"sleep_s": 600})
    )
    eventually(daemon.status, lambda seen: any(item.state == "busy" for item in seen.environments))
    seen = daemon.status()
    assert seen is not None
    before = time.monotonic()
    assert daemon.down() is True
    assert time.monotonic() - before < 300  # half of the function's time
    assert [pid for pid in environment_pids(seen) if is_alive(pid)] == []
