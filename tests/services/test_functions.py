"""Functions in real processes, through AWS's own runtime client."""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stepml.local.functions import (
    Function,
    FunctionPool,
    Invocation,
    LogEvent,
    RequestTooLargeError,
    TooManyRequestsError,
)
from stepml.local.functions.function import access_key
from stepml.local.network import parse_network
from stepml.local.system import allow_many_files

PATIENCE_S = 120.0  # generous: a busy machine must not fail a test
MAX_SYNC_PAYLOAD_BYTES = 6_291_456
MAX_ASYNC_PAYLOAD_BYTES = 1_048_576

APP = """
import json, os, signal, socket, subprocess, sys, time
from pathlib import Path

class ShardNotFoundError(Exception):
    pass

def pid(event, context):
    return os.getpid()

def echo(event, context):
    return event

def count(event, context):
    return len(event)

def meet(event, context):
    me = Path(event["directory"], str(os.getpid()))
    me.touch()
    while len(list(me.parent.iterdir())) < event["parties"]:
        time.sleep(0.01)
    return os.getpid()

def wait_for(event, context):
    Path(event["started"]).write_text(str(os.getpid()))
    while not Path(event["until"]).exists():
        time.sleep(0.01)

def fail(event, context):
    if "attempts" in event:
        with open(event["attempts"], "a") as file:
            file.write(context.aws_request_id + "\\n")
    raise ShardNotFoundError("no shard of rank 3")

def sleep(event, context):
    print("going to sleep", flush=True)
    time.sleep(600)

def leave(event, context):
    print("leaving")
    os._exit(event)

def call_exit(event, context):
    sys.exit(event)

def die(event, context):
    os.kill(os.getpid(), event)

def allocate(event, context):
    return len(bytearray(os.urandom(1)) * (event * 1024 * 1024))

def hoard(event, context):
    kept = bytearray(event * 1024 * 1024)
    for page in range(0, len(kept), 4096):
        kept[page] = 1
    time.sleep(600)

def large(event, context):
    return "x" * event

def describe(event, context):
    return {
        "environ": dict(os.environ), "path": sys.path, "cwd": os.getcwd(),
        "stdin": sys.stdin.read(),
        "remaining_ms": context.get_remaining_time_in_millis(),
        "arn": context.invoked_function_arn, "request_id": context.aws_request_id,
    }

def speak(event, context):
    print("to standard output")
    print("to standard error", file=sys.stderr)
    os.write(1, b"without a line break")

def speak_much(event, context):
    for i in range(event):
        print("line", i)

def speak_and_wait(event, context):
    print("epoch 1 begins")
    wait_for(event, context)

def ask(event, context):
    with socket.create_connection(event) as connection:
        began = time.monotonic()
        connection.sendall(b"?")
        connection.recv(1)
        return time.monotonic() - began

def start_child(event, context):
    return subprocess.Popen(["sleep", "600"]).pid

def whose_stepml(event, context):
    import stepml
    try:
        import stepml.local
    except ImportError as error:
        return [stepml.__file__, str(error)]
"""

Logs = list[tuple[str, str, LogEvent]]
MakePool = Callable[..., FunctionPool]


@pytest.fixture
def task_root(tmp_path: Path) -> Path:
    root = tmp_path / "task"
    root.mkdir()
    (root / "app.py").write_text(APP)
    return root


@pytest.fixture
def logs() -> Logs:
    return []


@pytest.fixture
def make_pool(logs: Logs) -> Iterator[MakePool]:
    pools = []

    def write_logs(group: str, stream: str, events: Sequence[LogEvent]) -> None:
        logs.extend((group, stream, event) for event in events)

    def make(**options: Any) -> FunctionPool:
        settings: dict[str, Any] = {
            "endpoint_url": "http://127.0.0.1:9",
            "region": "us-east-1",
            "account_id": "123456789012",
            "write_logs": write_logs,
        }
        pools.append(FunctionPool(**{**settings, **options}))
        return pools[-1]

    yield make
    for pool in pools:
        pool.close()


@pytest.fixture
def pool(make_pool: MakePool) -> FunctionPool:
    return make_pool()


@pytest.fixture
def function(task_root: Path) -> Function:
    return Function(
        name="stepml-app",
        arn="arn:aws:lambda:us-east-1:123456789012:function:stepml-app",
        handler="app.pid",
        task_root=task_root,
        environment={"STEPML_BUCKET": "a-bucket"},
        timeout_s=300,
        memory_mb=512,
        log_group="/aws/lambda/stepml-app",
        code_sha256="a",
    )


def call(pool: FunctionPool, function: Function, handler: str, event: Any = None) -> Invocation:
    function = replace(function, handler=f"app.{handler}")
    return pool.invoke(function, json.dumps(event).encode())


def result(invocation: Invocation) -> Any:
    assert invocation.error is None, invocation.payload
    return json.loads(invocation.payload)


def error(invocation: Invocation) -> dict[str, Any]:
    assert invocation.error == "Unhandled"
    payload = json.loads(invocation.payload)
    assert isinstance(payload, dict)
    return payload


def messages(logs: Logs) -> list[str]:
    return [event.message for _, _, event in logs]


def is_running(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] not in "ZX"


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def is_asleep(pid: int) -> bool:
    """Return whether a process is blocked in a wait."""
    for _ in range(5):
        time.sleep(0.02)
        if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "S":
            return False
    return True


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


# Reuse and concurrency


def test_a_warm_environment_is_used_again(pool: FunctionPool, function: Function) -> None:
    pids = {result(call(pool, function, "pid")) for _ in range(5)}

    assert len(pids) == 1
    (status,) = pool.environments()
    assert (status.function, status.pid) == ("stepml-app", pids.pop())
    assert (status.state, status.invocations) == ("idle", 5)


def test_parallel_invocations_have_environments_of_their_own(
    pool: FunctionPool, function: Function, tmp_path: Path
) -> None:
    event = {"directory": str(tmp_path / "meeting"), "parties": 4}
    (tmp_path / "meeting").mkdir()
    with ThreadPoolExecutor(4) as executor:
        calls = [executor.submit(call, pool, function, "meet", event) for _ in range(4)]

    assert len({result(done.result()) for done in calls}) == 4


def test_the_most_recently_used_environment_comes_first(
    pool: FunctionPool, function: Function, tmp_path: Path
) -> None:
    function = replace(function, handler="app.wait_for")
    events = [
        {"started": str(tmp_path / f"started-{name}"), "until": str(tmp_path / f"until-{name}")}
        for name in "ab"
    ]
    with ThreadPoolExecutor(2) as executor:
        for event in events:
            executor.submit(pool.invoke, function, json.dumps(event).encode())
            wait_until(Path(event["started"]).exists)
        pids = [status.pid for status in pool.environments()]
        Path(events[0]["until"]).touch()
        wait_until(lambda: "idle" in [status.state for status in pool.environments()])
        Path(events[1]["until"]).touch()
    first, second = (int(Path(event["started"]).read_text() or 0) for event in events)
    assert {first, second} == set(pids)

    result(pool.invoke(function, json.dumps(events[0]).encode()))

    used = {status.pid: status.invocations for status in pool.environments()}
    assert used == {first: 1, second: 2}


def test_many_threads_share_few_environments(pool: FunctionPool, function: Function) -> None:
    with ThreadPoolExecutor(8) as executor:
        calls = [executor.submit(call, pool, function, "echo", {"i": i}) for i in range(200)]

    assert [result(done.result())["i"] for done in calls] == list(range(200))
    assert len(pool.environments()) <= 8


def test_more_invocations_than_the_account_may_run_are_throttled(
    make_pool: MakePool, function: Function, tmp_path: Path
) -> None:
    pool = make_pool(concurrency=1)
    event = {"started": str(tmp_path / "started"), "until": str(tmp_path / "until")}
    with ThreadPoolExecutor(1) as executor:
        first = executor.submit(call, pool, function, "wait_for", event)
        wait_until((tmp_path / "started").exists)
        with pytest.raises(TooManyRequestsError, match="Rate Exceeded"):
            call(pool, function, "pid")
        (tmp_path / "until").touch()
    result(first.result())

    result(call(pool, function, "pid"))


def test_a_queued_start_that_nobody_waits_for_is_dropped(
    make_pool: MakePool, function: Function, task_root: Path, tmp_path: Path, logs: Logs
) -> None:
    go, gone, called = tmp_path / "go", threading.Event(), tmp_path / "called"
    waits = f"import os, time\nwhile not os.path.exists({str(go)!r}): time.sleep(0.01)\n"
    (task_root / "slow.py").write_text(waits + APP)
    pool, event = make_pool(starts_at_once=1), json.dumps({"attempts": str(called)}).encode()
    fail = replace(function, handler="app.fail")
    with ThreadPoolExecutor(10) as executor:
        first = executor.submit(pool.invoke, replace(function, handler="slow.pid"), b"null")
        wait_until(lambda: [each.pid is not None for each in pool.environments()] == [True])
        queued = [
            executor.submit(pool.invoke, fail, event, lambda: not gone.is_set()) for _ in range(8)
        ]
        last = executor.submit(call, pool, function, "pid")
        wait_until(lambda: len(pool.environments()) == 10)
        gone.set()
        go.touch()
        result(first.result())
        result(last.result())

    assert {error(each.result())["errorMessage"].partition("failed: ")[2] for each in queued} == {
        "NotWantedError: nobody waits for this invocation any more"
    }
    assert not called.exists()
    assert len({stream for _, stream, _ in logs}) == 2
    assert len(pool.environments()) == 2


def test_new_code_or_configuration_gets_a_new_environment_and_ends_the_old(
    pool: FunctionPool, function: Function
) -> None:
    old = result(call(pool, function, "pid"))
    changes: list[dict[str, Any]] = [
        {"code_sha256": "b"},
        {"environment": {"STEPML_BUCKET": "another"}},
        {"timeout_s": 59},
        {"memory_mb": 1024},
    ]
    for change in changes:
        new = result(call(pool, replace(function, **change), "pid"))
        assert new != old
        wait_until(lambda pid=old: not is_running(pid))  # type: ignore[misc]
        old = new
    wait_until(lambda: len(pool.environments()) == 1)


def test_idle_environments_end(make_pool: MakePool, function: Function) -> None:
    pool = make_pool(idle_timeout_s=0.1)
    pid = result(call(pool, function, "pid"))

    wait_until(lambda: not pool.environments())

    assert not is_running(pid)
    assert result(call(pool, function, "pid")) != pid


def test_idle_environments_give_way_when_there_are_many(
    make_pool: MakePool, function: Function
) -> None:
    pool = make_pool(max_environments=1)
    for name in ("stepml-prepare", "stepml-executor"):
        call(pool, replace(function, name=name), "pid")

    wait_until(lambda: len(pool.environments()) == 1)

    assert pool.environments()[0].function == "stepml-executor"


# The end of invocations


def test_an_exception_is_reported_with_class_message_and_trace(
    pool: FunctionPool, function: Function
) -> None:
    invocation = call(pool, function, "fail", {})

    payload = error(invocation)
    assert payload["errorType"] == "ShardNotFoundError"
    assert payload["errorMessage"] == "no shard of rank 3"
    assert payload["requestId"] == invocation.request_id
    assert "in fail" in payload["stackTrace"][0]
    assert b"[ERROR] ShardNotFoundError: no shard of rank 3" in invocation.log_tail


def test_an_environment_survives_an_exception(pool: FunctionPool, function: Function) -> None:
    for _ in range(3):
        error(call(pool, function, "fail", {}))

    assert [status.invocations for status in pool.environments()] == [3]


def test_a_function_that_takes_too_long_is_killed(pool: FunctionPool, function: Function) -> None:
    invocation = call(pool, replace(function, timeout_s=1), "sleep")

    assert error(invocation) == {
        "errorType": "Sandbox.Timedout",
        "errorMessage": f"RequestId: {invocation.request_id} "
        "Error: Task timed out after 1.00 seconds",
    }
    lines = invocation.log_tail.decode().splitlines()
    assert lines[-4] == "going to sleep"
    assert re.fullmatch(
        rf"\d{{4}}-.*Z {invocation.request_id} Task timed out after 1.00 seconds", lines[-3]
    )
    assert "Status: timeout" in lines[-1]
    assert pool.environments() == []


@pytest.mark.parametrize(
    ("handler", "event", "how"),
    [
        ("leave", 1, "exited with error: exit status 1"),
        ("leave", 0, "exited without providing a reason"),
        ("call_exit", 3, "exited with error: exit status 3"),
        ("die", int(signal.SIGKILL), "exited with error: signal: killed"),
        ("die", int(signal.SIGTERM), "exited with error: signal: terminated"),
        ("die", int(signal.SIGSEGV), "exited with error: signal: segmentation fault"),
    ],
)
def test_a_dead_process_is_reported_as_exit_error(
    pool: FunctionPool, function: Function, handler: str, event: int, how: str
) -> None:
    invocation = call(pool, function, handler, event)

    assert error(invocation) == {
        "errorType": "Runtime.ExitError",
        "errorMessage": f"RequestId: {invocation.request_id} Error: Runtime {how}",
    }
    assert b"Error Type: Runtime.ExitError" in invocation.log_tail
    result(call(pool, function, "pid"))  # cold, and well


def test_a_dead_process_is_seen_with_any_number_of_open_files(
    pool: FunctionPool, function: Function
) -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (512, before[1]))
    with ExitStack() as opened:
        opened.callback(resource.setrlimit, resource.RLIMIT_NOFILE, before)
        allow_many_files()
        for _ in range(1100):
            opened.enter_context(Path(os.devnull).open("rb"))
        payload = error(call(pool, function, "leave", 3))

    assert payload["errorMessage"].endswith("exited with error: exit status 3")


def test_what_was_printed_before_a_crash_is_logged(pool: FunctionPool, function: Function) -> None:
    assert b"leaving\n" in call(pool, function, "leave", 1).log_tail


def test_an_environment_that_died_while_idle_is_replaced(
    pool: FunctionPool, function: Function
) -> None:
    pid = result(call(pool, function, "pid"))
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not is_running(pid))

    assert result(call(pool, function, "pid")) != pid
    assert len(pool.environments()) == 1


def test_an_environment_whose_death_is_not_known_yet_is_replaced(
    pool: FunctionPool, function: Function
) -> None:
    pid = result(call(pool, function, "pid"))
    template = parent(pid)
    wait_until(lambda: is_asleep(pid))  # it has requested its next event
    os.kill(template, signal.SIGSTOP)  # which tells that a process has ended
    try:
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not is_running(pid))
        time.sleep(0.2)  # its threads close its sockets a moment later
        with ThreadPoolExecutor(1) as executor:
            called = executor.submit(call, pool, function, "pid")
            time.sleep(0.5)  # by now it has looked for an environment
            os.kill(template, signal.SIGCONT)
            assert result(called.result()) != pid
    finally:
        os.kill(template, signal.SIGCONT)


def test_an_event_that_a_dying_environment_never_took_goes_to_another(
    pool: FunctionPool, function: Function, logs: Logs
) -> None:
    pid = result(call(pool, function, "pid"))
    wait_until(lambda: is_asleep(pid))  # it has requested its next event
    os.kill(pid, signal.SIGSTOP)  # it is running, but will not read
    with ThreadPoolExecutor(1) as executor:
        running = executor.submit(call, pool, function, "pid")
        wait_until(lambda: [status.state for status in pool.environments()] == ["busy"])
        time.sleep(0.2)  # by now its socket has the event
        os.kill(pid, signal.SIGKILL)

    assert result(running.result()) != pid
    assert len(pool.environments()) == 1
    starts = [text for text in messages(logs) if text.startswith("START")]
    assert len(starts) == 2
    assert running.result().request_id in starts[1]


def test_an_event_that_was_taken_is_not_given_to_another_environment(
    pool: FunctionPool, function: Function, tmp_path: Path
) -> None:
    result(call(pool, function, "wait_for", {"started": "/dev/null", "until": "/dev/null"}))
    event = {"started": str(tmp_path / "started"), "until": str(tmp_path / "never")}
    with ThreadPoolExecutor(1) as executor:
        running = executor.submit(call, pool, function, "wait_for", event)
        wait_until((tmp_path / "started").exists)
        (status,) = pool.environments()
        assert status.pid is not None
        os.kill(status.pid, signal.SIGKILL)

    assert error(running.result())["errorType"] == "Runtime.ExitError"


@pytest.mark.parametrize("handler", ["allocate", "hoard"])  # a short peak, and retained memory
def test_a_function_above_its_memory_is_killed(
    pool: FunctionPool, function: Function, handler: str
) -> None:
    invocation = call(pool, replace(function, memory_mb=128), handler, 200)

    payload = error(invocation)
    assert payload["errorType"] == "Runtime.ExitError"
    assert payload["errorMessage"].endswith("Runtime exited with error: signal: killed")
    assert b"Memory Size: 128 MB\tMax Memory Used: 128 MB" in invocation.log_tail


def test_payloads_have_lambdas_limits(pool: FunctionPool, function: Function) -> None:
    largest = json.dumps("x" * (MAX_SYNC_PAYLOAD_BYTES - 2)).encode()
    count = replace(function, handler="app.count")

    assert result(pool.invoke(count, largest)) == MAX_SYNC_PAYLOAD_BYTES - 2
    with pytest.raises(RequestTooLargeError, match="smaller than 6291456 bytes"):
        pool.invoke(count, largest + b" ")
    with pytest.raises(RequestTooLargeError, match="smaller than 1048576 bytes"):
        pool.invoke_async(count, b" " * (MAX_ASYNC_PAYLOAD_BYTES + 1))


def test_responses_have_lambdas_limit(pool: FunctionPool, function: Function) -> None:
    size = MAX_SYNC_PAYLOAD_BYTES - 2
    assert result(call(pool, function, "large", size)) == "x" * size

    invocation = call(pool, function, "large", size + 1000)

    assert error(invocation) == {
        "errorType": "Function.ResponseSizeTooLarge",
        "errorMessage": "Response payload size exceeded maximum allowed payload size "
        "(6291556 bytes).",
    }
    result(call(pool, function, "large", 1))


@pytest.mark.parametrize(
    ("code", "error_type"),
    [
        ("import no_such_module", "Runtime.ImportModuleError"),
        ("def handler(:", "Runtime.UserCodeSyntaxError"),
        ("pass", "Runtime.HandlerNotFound"),
        ("raise KeyError('STEPML_BUCKET')", "KeyError"),
    ],
)
def test_code_that_cannot_be_loaded_is_named(
    pool: FunctionPool, function: Function, task_root: Path, code: str, error_type: str
) -> None:
    (task_root / "broken.py").write_text(code)

    invocation = pool.invoke(replace(function, handler="broken.handler"), b"{}")

    assert error(invocation)["errorType"] == error_type
    assert f"Error Type: {error_type}".encode() in invocation.log_tail
    assert pool.environments() == []


def test_a_process_that_exits_while_it_starts_is_an_exit_error(
    pool: FunctionPool, function: Function, task_root: Path
) -> None:
    (task_root / "broken.py").write_text("import os; os._exit(7)")

    payload = error(pool.invoke(replace(function, handler="broken.handler"), b"{}"))

    assert payload["errorType"] == "Runtime.ExitError"
    assert payload["errorMessage"].endswith("exit status 7")


def test_a_start_that_takes_too_long_is_begun_again(
    make_pool: MakePool, function: Function, task_root: Path, tmp_path: Path
) -> None:
    second = tmp_path / "second"
    (task_root / "slow.py").write_text(
        f"import time; from pathlib import Path; second = Path({str(second)!r})\n"
        "while not second.exists(): time.sleep(0.01)\n"
        "def handler(event, context): return 'started'\n"
    )
    pool, pids = make_pool(init_limit_s=1.0), set()

    def has_begun_again() -> bool:
        pids.update(each.pid for each in pool.environments() if each.pid is not None)
        return len(pids) == 2

    slow = replace(function, handler="slow.handler", timeout_s=600)
    with ThreadPoolExecutor(1) as executor:
        running = executor.submit(pool.invoke, slow, b"{}")
        wait_until(has_begun_again)
        second.touch()
        invocation = running.result()

    assert result(invocation) == "started"
    assert b"\tPhase: init\tStatus: timeout" in invocation.log_tail


def test_an_error_of_the_local_aws_fails_the_invocation(
    make_pool: MakePool, function: Function
) -> None:
    def write_logs(group: str, stream: str, events: Sequence[LogEvent]) -> None:
        raise OSError("no space left for logs")

    pool = make_pool(write_logs=write_logs)

    payload = error(call(pool, function, "pid"))

    assert payload["errorType"] == "Lambda.Unknown"
    assert "no space left for logs" in payload["errorMessage"]
    assert pool.environments() == []


def test_a_missing_task_root_fails_the_invocation(pool: FunctionPool, function: Function) -> None:
    payload = error(call(pool, replace(function, task_root=Path("/no/such/place")), "pid"))

    assert payload["errorType"] == "Lambda.Unknown"
    assert "/no/such/place" in payload["errorMessage"]


# The environment of a function


def test_a_function_sees_lambdas_variables_and_nothing_of_the_server(
    pool: FunctionPool, function: Function, logs: Logs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("A_SECRET_OF_THE_SERVER", "1")
    monkeypatch.setenv("PYTHONSTARTUP", "elsewhere")

    seen = result(call(pool, function, "describe"))

    environ = seen["environ"]
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    expected = {
        "AWS_LAMBDA_FUNCTION_NAME": "stepml-app",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512",
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/stepml-app",
        "AWS_LAMBDA_LOG_STREAM_NAME": logs[0][1],
        "AWS_EXECUTION_ENV": f"AWS_Lambda_python{version}",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_SESSION_TOKEN": "test",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "LAMBDA_TASK_ROOT": str(function.task_root),
        "PYTHONPATH": str(function.task_root),
        "STEPML_BUCKET": "a-bucket",
        "TZ": "UTC",
        "LANG": "C.UTF-8",
        "_HANDLER": "app.describe",
    }
    assert expected.items() <= environ.items()
    assert environ["AWS_LAMBDA_RUNTIME_API"].startswith("127.0.0.1:")
    free = {"AWS_LAMBDA_RUNTIME_API", "HOME", "PATH", "LD_LIBRARY_PATH", "_X_AMZN_TRACE_ID"}
    assert environ.keys() <= expected.keys() | free
    assert seen["cwd"] == seen["path"][0] == str(function.task_root)
    assert seen["stdin"] == ""


def test_the_context_knows_the_time_left_the_arn_and_the_request(
    pool: FunctionPool, function: Function
) -> None:
    invocation = call(pool, replace(function, timeout_s=900), "describe")

    seen = result(invocation)
    assert 600_000 < seen["remaining_ms"] <= 900_000
    assert seen["arn"] == function.arn
    assert seen["request_id"] == invocation.request_id


def test_the_deployed_code_stands_before_what_is_installed(
    pool: FunctionPool, function: Function, task_root: Path
) -> None:
    (task_root / "stepml").mkdir()
    (task_root / "stepml" / "__init__.py").touch()

    file, message = result(call(pool, function, "whose_stepml"))

    assert file == str(task_root / "stepml" / "__init__.py")
    assert message == "No module named 'stepml.local'"


def test_compiled_code_is_kept_for_the_next_cold_start(
    pool: FunctionPool, function: Function, task_root: Path
) -> None:
    call(pool, function, "pid")

    assert list((task_root / "__pycache__").glob("app.*.pyc"))


# Logs


def test_a_log_has_the_lines_of_an_invocation_in_order(
    pool: FunctionPool, function: Function, logs: Logs
) -> None:
    first = call(pool, function, "speak")
    written = messages(logs)
    second = call(pool, function, "speak")

    request_id = first.request_id
    assert written[0].startswith("INIT_START Runtime Version: python:3.")
    assert written[1:6] == [
        f"START RequestId: {request_id} Version: $LATEST\n",
        "to standard output\n",
        "to standard error\n",
        "without a line break\n",
        f"END RequestId: {request_id}\n",
    ]
    assert re.fullmatch(
        rf"REPORT RequestId: {request_id}\tDuration: \d+\.\d\d ms\tBilled Duration: \d+ ms\t"
        r"Memory Size: 512 MB\tMax Memory Used: \d+ MB\tInit Duration: \d+\.\d\d ms\t\n",
        written[6],
    )
    assert len(written) == 7
    assert messages(logs)[7] == f"START RequestId: {second.request_id} Version: $LATEST\n"
    assert "Init Duration" not in messages(logs)[-1]
    assert first.log_tail.decode() == "".join(written)
    assert second.log_tail.decode() == "".join(messages(logs)[7:])


def test_cold_starts_take_the_least_time_of_a_cloud_side_by_side(
    make_pool: MakePool, function: Function, logs: Logs, tmp_path: Path
) -> None:
    pool = make_pool(cold_start_s=2.0, starts_at_once=1)
    meeting = {"directory": str(tmp_path / "meeting"), "parties": 3}
    Path(str(meeting["directory"])).mkdir()
    began = time.monotonic()
    with ThreadPoolExecutor(3) as callers:
        calls = [callers.submit(call, pool, function, "meet", meeting) for _ in range(3)]
    assert time.monotonic() - began < 3 * 2.0
    assert len({int(each.result().payload) for each in calls}) == 3
    starts = re.findall(r"Init Duration: (\d+\.\d+) ms", "".join(messages(logs)))
    assert len(starts) == 3
    assert all(float(start) >= 2000 for start in starts)


def test_a_function_feels_the_network_that_its_variables_describe(
    make_pool: MakePool, function: Function
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as echo:
        host, port = echo.getsockname()
        threading.Thread(target=_echo_once, args=(echo,), daemon=True).start()
        network = parse_network({"redis": {"latency_ms": 100}})
        variables = network.variables({"redis": f"{host}:{port}"})
        pool = make_pool(more_variables=lambda: variables)
        assert result(call(pool, function, "ask", [host, port])) >= 0.1


def _echo_once(server: socket.socket) -> None:
    connection, _ = server.accept()
    with connection:
        connection.sendall(connection.recv(1))


def test_each_environment_has_a_log_stream_of_its_own(
    pool: FunctionPool, function: Function, logs: Logs
) -> None:
    call(pool, function, "leave", 1)
    call(pool, function, "pid")
    call(pool, function, "pid")

    assert {group for group, _, _ in logs} == {"/aws/lambda/stepml-app"}
    streams = {stream for _, stream, _ in logs}
    assert len(streams) == 2
    for stream in streams:
        assert re.fullmatch(r"\d{4}/\d\d/\d\d/\[\$LATEST\][0-9a-f]{32}", stream)


def test_a_stack_trace_is_one_event(pool: FunctionPool, function: Function, logs: Logs) -> None:
    call(pool, function, "fail", {})

    (trace,) = [message for message in messages(logs) if message.startswith("[ERROR]")]
    assert trace.splitlines()[1] == "Traceback (most recent call last):"


def test_a_long_log_is_whole_and_its_tail_has_4_kb(
    pool: FunctionPool, function: Function, logs: Logs
) -> None:
    invocation = call(pool, function, "speak_much", 30_000)

    spoken = [message for message in messages(logs) if message.startswith("line")]
    assert spoken == [f"line {i}\n" for i in range(30_000)]
    assert len(invocation.log_tail) == 4096
    assert b"line 29999\n" in invocation.log_tail


def test_the_log_of_a_running_invocation_can_be_followed(
    pool: FunctionPool, function: Function, logs: Logs, tmp_path: Path
) -> None:
    event = {"started": str(tmp_path / "started"), "until": str(tmp_path / "until")}
    with ThreadPoolExecutor(1) as executor:
        running = executor.submit(call, pool, function, "speak_and_wait", event)
        wait_until(lambda: "epoch 1 begins\n" in messages(logs))
        (tmp_path / "until").touch()
    result(running.result())


# Events


def test_an_event_runs_after_its_caller_has_gone_on(
    pool: FunctionPool, function: Function, logs: Logs
) -> None:
    request_id = pool.invoke_async(replace(function, handler="app.echo"), b"{}")

    wait_until(lambda: f"END RequestId: {request_id}\n" in messages(logs))


def test_a_failing_event_is_tried_three_times_under_one_request_id(
    make_pool: MakePool, function: Function, logs: Logs, tmp_path: Path
) -> None:
    pool = make_pool(event_retry_delays_s=(0.01, 0.01))
    attempts = tmp_path / "attempts"
    event = json.dumps({"attempts": str(attempts)}).encode()

    request_id = pool.invoke_async(replace(function, handler="app.fail"), event)

    end = f"END RequestId: {request_id}\n"
    wait_until(lambda: messages(logs).count(end) == 3)
    pool.close()
    assert attempts.read_text().split() == [request_id] * 3


def test_a_throttled_event_waits_its_turn(
    make_pool: MakePool, function: Function, logs: Logs
) -> None:
    pool = make_pool(concurrency=1)
    echo = replace(function, handler="app.echo")
    ends = {f"END RequestId: {pool.invoke_async(echo, b'{}')}\n" for _ in range(6)}

    wait_until(lambda: ends <= set(messages(logs)))


# The end


def test_closing_ends_every_process_and_running_invocations(
    make_pool: MakePool, function: Function, tmp_path: Path
) -> None:
    pool = make_pool()
    event = {"started": str(tmp_path / "started"), "until": str(tmp_path / "never")}
    with ThreadPoolExecutor(1) as executor:
        running = executor.submit(call, pool, function, "wait_for", event)
        wait_until((tmp_path / "started").exists)
        call(pool, function, "pid")
        pids = [status.pid for status in pool.environments()]
        pool.close()

    assert error(running.result())["errorType"] == "Runtime.ExitError"
    assert len(pids) == 2
    assert not any(is_running(pid) for pid in pids if pid)
    assert pool.environments() == []
    assert "function-reaper" not in [thread.name for thread in threading.enumerate()]
    assert "closed" in error(call(pool, function, "pid"))["errorMessage"]
    pool.close()  # a second time does no harm


def test_what_a_function_has_started_ends_with_it(make_pool: MakePool, function: Function) -> None:
    pool = make_pool()
    child = result(call(pool, function, "start_child"))
    assert is_running(child)

    pool.close()

    wait_until(lambda: not is_running(child))


SERVER = """
import json, sys, threading, time
from dataclasses import replace
from pathlib import Path
from stepml.local.functions import Function, FunctionPool

pool = FunctionPool(
    endpoint_url="http://127.0.0.1:9", region="us-east-1", account_id="123456789012",
    write_logs=lambda group, stream, events: None,
)
function = Function("stepml-app", "arn", "app.pid", Path(sys.argv[1]), {}, 600, 512, "a")
pool.invoke(function, b"null")
start_child = replace(function, name="stepml-parent", handler="app.start_child")
child = pool.invoke(start_child, b"null").payload
sleep = replace(function, name="stepml-busy", handler="app.sleep")
threading.Thread(target=pool.invoke, args=(sleep, b"null")).start()
while "busy" not in [status.state for status in pool.environments()]:
    time.sleep(0.01)
print(json.dumps([status.pid for status in pool.environments()] + [int(child)]), flush=True)
"""


def test_a_killed_server_leaves_no_function_process(task_root: Path) -> None:
    command = [sys.executable, "-c", SERVER, str(task_root)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        pids = json.loads(server.stdout.readline())
        assert len(pids) == 4
        pids += {parent(pid) for pid in pids[:3]}  # the templates
        assert all(is_running(pid) for pid in pids)
        server.kill()

    wait_until(lambda: not any(is_running(pid) for pid in pids))


# Processes are forked from a template that has loaded the libraries


PRELOADED = """
import os
TEMPLATE = os.getpid()
BUCKET = os.environ["STEPML_BUCKET"]
"""
SHARING = """
import os, random, sys
from lambdas.preloaded import BUCKET, TEMPLATE
OWN = os.getpid()
NAMES = ("STEPML_BUCKET", "STEPML_MODULES", "OMP_NUM_THREADS")

def tell(event, context):
    return {"template": TEMPLATE, "bucket": BUCKET, "own": OWN, "pid": os.getpid(),
            "random": random.random(), "parent": os.getppid(), "argv": sys.argv[1:],
            "key": os.environ["AWS_ACCESS_KEY_ID"],
            "variables": {name: os.environ[name] for name in NAMES if name in os.environ}}
"""


@pytest.fixture
def sharing(function: Function, task_root: Path) -> Function:
    """A function with a module that is loaded once for all its processes."""
    (task_root / "lambdas").mkdir()
    (task_root / "lambdas" / "__init__.py").touch()
    (task_root / "lambdas" / "preloaded.py").write_text(PRELOADED)
    (task_root / "sharing.py").write_text(SHARING)
    return replace(function, handler="sharing.tell")


def sharing_report(pool: FunctionPool, function: Function) -> Any:
    return result(pool.invoke(function, b"null"))


def test_libraries_are_loaded_once_and_the_handler_in_each_process(
    pool: FunctionPool, sharing: Function
) -> None:
    roles = [f"arn:aws:iam::123456789012:role/{name}" for name in ("one", "other")]
    one, other = (
        sharing_report(pool, replace(sharing, name=name, role_arn=role))
        for name, role in zip(("one", "other"), roles, strict=True)
    )

    assert [one["key"], other["key"]] == [*map(access_key, roles)]
    assert one["template"] == other["template"] == one["parent"] == other["parent"]
    assert one["own"] == one["pid"] != other["own"] == other["pid"]
    assert one["argv"] == other["argv"] == ["sharing.tell"]
    assert one["random"] != other["random"]


@pytest.mark.parametrize(
    ("change", "is_shared"),
    [
        ({"environment": {"STEPML_BUCKET": "another"}}, True),
        ({"memory_mb": 1024}, True),
        ({"environment": {"STEPML_BUCKET": "", "STEPML_MODULES": "json"}}, False),
        ({"environment": {"STEPML_BUCKET": "", "OMP_NUM_THREADS": "2"}}, False),
    ],
)
def test_libraries_are_loaded_anew_for_variables_that_they_may_read(
    pool: FunctionPool, sharing: Function, change: dict[str, Any], is_shared: bool
) -> None:
    one, other = sharing_report(pool, sharing), sharing_report(pool, replace(sharing, **change))

    assert (one["template"] == other["template"]) == is_shared
    assert one["bucket"] == sharing.environment["STEPML_BUCKET"]  # libraries are of its channels
    assert other["variables"] == change.get("environment", sharing.environment)


def test_a_killed_template_is_replaced_and_its_processes_are_seen_to_end(
    pool: FunctionPool, sharing: Function, tmp_path: Path
) -> None:
    template = sharing_report(pool, sharing)["template"]
    wait_for = replace(sharing, name="waits", handler="app.wait_for")
    event = {"started": str(tmp_path / "started"), "until": str(tmp_path / "never")}
    with ThreadPoolExecutor(1) as executor:
        running = executor.submit(pool.invoke, wait_for, json.dumps(event).encode())
        wait_until((tmp_path / "started").exists)
        os.kill(template, signal.SIGKILL)

    assert error(running.result())["errorMessage"].endswith("exited with error: signal: killed")
    assert sharing_report(pool, replace(sharing, name="next"))["template"] != template


def test_a_template_that_is_killed_while_it_starts_is_replaced(
    pool: FunctionPool, sharing: Function, task_root: Path
) -> None:
    kills = task_root / "kills"
    preloaded = task_root / "lambdas" / "preloaded.py"
    preloaded.write_text(
        f"import os\nwith open({str(kills)!r}, 'a+') as file:\n"
        "    file.write('x')\n    if file.tell() < 4: os.kill(os.getpid(), 9)\n"
        + preloaded.read_text()
    )
    assert sharing_report(pool, sharing)["template"]
    assert kills.read_text() == "xxxx"


def test_templates_end_with_the_pool_and_when_no_process_is_left(
    make_pool: MakePool, sharing: Function
) -> None:
    templates = [
        sharing_report(make_pool(), sharing)["template"],
        sharing_report(make_pool(idle_timeout_s=0.1), sharing)["template"],
    ]
    wait_until(lambda: not is_running(templates[1]))
    assert is_running(templates[0])


def test_libraries_that_cannot_be_loaded_leave_the_error_to_the_handler(
    pool: FunctionPool, sharing: Function
) -> None:
    (sharing.task_root / "lambdas" / "preloaded.py").write_text("import no_such_library")

    result(call(pool, sharing, "pid"))
    assert error(pool.invoke(sharing, b"null"))["errorType"] == "Runtime.ImportModuleError"
