"""The real handlers with planned faults, for the functions' package.

``injector.executor`` is the handler ``lambdas.executor.handler``, and so on. Each invocation
numbers its writes, to any storage, and records them in the directory of its job, or in that of the
jobs whose names are unknown before (``any``)::

    <directory>/<job id>/plan.json        the job's faults
                         writes.jsonl     one line for each started write
                         claims/<fault>   the fault has struck; it does so once
                         released/<fault> the test releases a held invocation
                         left/<task>      a handler has ended
                         copies/<fault>   the second copy of an invocation has ended, and how
                         originals/<key>  the original of a damaged or lost value
"""

from __future__ import annotations

import http.client
import importlib
import json
import math
import os
import re
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import wraps
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn
from urllib.parse import quote

import storage
import storage.s3
import storage.streams
from stepml.job.errors import StorageUnavailableError

DIRECTORY_VARIABLE = "STEPML_TEST_FAULTS"
ANY = "any"  # the directory of jobs without one of their own
ANY_WRITE = -1  # the number of a fault that strikes at any write
COPY = "copy"  # the field of an event that marks it as a second copy of another
PERTURBATION = 1e-3  # the amount that a copy with other bits adds to all results
WAIT_S = 60.0  # of a copy, for its original invocation
DELAY_S = 0.7
LOOKS = 3  # reads of the remaining time, until it is short …
LITTLE_TIME_MS = 10_000  # … so that a handler pauses, but need not end a wait
SLOW_LOOK_S = 0.4
REFUSALS = 2  # in a row; clients and the product's own retries survive them
# Written after long waits, or as often as ranks meet: their places cannot be predicted.
_TIMED = re.compile(r"/frontier$|^jobs\.turn\.json$|/lease$|/turn/")
_OF_RANK_0 = "-last.safetensors"  # another rank writes it only if rank 0 takes long
_CHANNELS = {
    "redis": "RedisStorage",
    "memcached": "MemcachedStorage",
    "dynamodb": "DynamoDBStorage",
}
_SERVER_CALLS = ("push", "push_and_wait", "reset", "forget", "delete")
WRITES = ("save", "save_many", "put", "publish_many", "compare_and_save", "delete_many")

Event = dict[str, Any]
Handler = Callable[[Event, Any], Any]


def __getattr__(name: str) -> Handler:
    """Return the handler of the module ``lambdas.<name>`` with faults."""
    if name.startswith("_"):
        raise AttributeError(name)
    module = importlib.import_module(f"lambdas.{name}")

    def handler(event: Event, context: Any) -> Any:
        copy = event.pop(COPY, None)
        invocation = Invocation(name, event) if copy is None else Copy(name, event, copy)
        return invocation.run(module.handler, context)

    return handler


class Invocation:
    """One call of a handler, and its faults."""

    current: Invocation | None = None  # a process has one at a time

    def __init__(self, function: str, event: Event) -> None:
        self.function = _role(function, event)
        self.event = event
        self.job_id = _job_of(event)
        self.directory = _directory_of(self.job_id)
        self.position = {"function": self.function, "epoch": _epoch(event), "part": _part(event)}
        self.numbers: dict[tuple[str, ...], int] = {}  # of the writes so far
        self.faults = [fault for fault in self._plan() if self.position.items() <= fault.items()]

    def run(self, handler: Handler, context: Any) -> Any:
        """Call the handler."""
        _wrap_writes("s3", "S3Storage")
        for module, name in _CHANNELS.items():
            if module in self._channel():  # only then: clients load slowly
                _wrap_writes(module, name)
        if "parameter_server" in self._channel():
            _wrap_server_calls()
        Invocation.current = self
        self.context = Context(context)
        self._strike("enter", None, None, ())
        result = handler(self.event, self.context)
        self._strike("leave", None, None, ())
        self._note("left", self._task)
        return result

    def write(
        self, store: Any, operation: str, keys: Sequence[str], call: Callable[[], Any]
    ) -> Any:
        """Do one write with its planned faults."""
        if _TIMED.search(keys[0]) or (keys[0].endswith(_OF_RANK_0) and self.position["part"]):
            return call()
        # A repeated write keeps its number: the writer got no answer, or found the value lost.
        number = self.numbers.setdefault((operation, *keys), len(self.numbers))
        self._record(number, operation, keys)
        self._strike("before", number, store, keys)
        with self._interrupted(number, store):
            result = call()
        self._strike("after", number, store, keys)
        return result

    @property
    def _task(self) -> str:
        return "-".join(str(each) for each in self.position.values())

    def _plan(self) -> list[dict[str, Any]]:
        try:
            plan = json.loads((self.directory / "plan.json").read_text())
        except FileNotFoundError:
            return []
        faults: list[dict[str, Any]] = plan
        return faults

    def _channel(self) -> str:
        return (self.directory / "channel").read_text() if self.directory.exists() else ""

    def _record(self, number: int, operation: str, keys: Sequence[str]) -> None:
        if self.directory.exists():
            record = self.position | {"write": number, "operation": operation, "keys": [*keys]}
            with (self.directory / "writes.jsonl").open("a") as file:
                file.write(json.dumps(record) + "\n")  # one short append: lines do not mix

    def _claimed(self, moment: str, number: int | None) -> dict[str, Any] | None:
        for fault in self.faults:
            if fault["moment"] == moment and fault["write"] in (number, ANY_WRITE):
                if fault["skips"]:
                    fault["skips"] -= 1
                    continue
                self.faults.remove(fault)
                again = (f"{fault['id']}.{time}" for time in range(1, fault.get("times", 1)))
                if any(self._note("claims", name) for name in (fault["id"], *again)):
                    return fault
        return None

    def keep(self, originals: Mapping[str, Any]) -> None:
        """Save a value before it is damaged or lost."""
        directory = self.directory / "originals"
        directory.mkdir(exist_ok=True)
        for key, value in originals.items():
            (directory / quote(key, safe="")).write_bytes(value)

    def _note(self, kind: str, name: str, text: str = "") -> bool:
        """Create a file; return whether it is new."""
        if not self.directory.exists():
            return False
        path = self.directory / kind / name
        path.parent.mkdir(exist_ok=True)
        try:
            with path.open("x") as file:
                file.write(text)
        except FileExistsError:
            return False
        return True

    def _strike(self, moment: str, number: int | None, store: Any, keys: Sequence[str]) -> None:
        fault = self._claimed(moment, number)
        if fault is not None:
            _ACTIONS[fault["action"]](Struck(self, fault, store, keys))

    @contextmanager
    def _interrupted(self, number: int, store: Any) -> Iterator[None]:
        """Let a fault strike between a write's request and its answer."""
        fault = self._claimed("during", number)
        if fault is None:
            yield
            return
        with _INTERRUPTIONS[fault["action"]](store):
            yield


class Copy(Invocation):
    """A second call with the same event, as at-least-once delivery may cause.

    If it computes other bits, it waits before its first write until the first call has ended: the
    second writer must make no difference.
    """

    def __init__(self, function: str, event: Event, copy: Mapping[str, Any]) -> None:
        super().__init__(function, event)
        self.faults = []
        self.fault_id = copy["fault"]
        self.is_late = copy["late"]

    def run(self, handler: Handler, context: Any) -> Any:
        try:
            with _other_bits() if self.is_late else nullcontext():
                super().run(handler, context)
        except Exception as error:  # the service would call it again, unknown to the job
            self._note("copies", self.fault_id, f"{type(error).__name__}: {error}")
        else:
            self._note("copies", self.fault_id, "done")

    def write(
        self, store: Any, operation: str, keys: Sequence[str], call: Callable[[], Any]
    ) -> Any:
        if self.is_late:
            _await_file(self.directory / "left" / self._task)
        return call()


class Context:
    """Lambda's context for a handler, or a fault's false one."""

    looks_left = sys.maxsize  # until it reports little remaining time
    look_s = 0.0  # the duration of each read

    def __init__(self, real: Any) -> None:
        self._real = real

    def get_remaining_time_in_millis(self) -> int:
        time.sleep(self.look_s)
        self.looks_left -= 1
        remaining_ms: int = self._real.get_remaining_time_in_millis()
        return remaining_ms if self.looks_left > 0 else min(remaining_ms, LITTLE_TIME_MS)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


class Struck(SimpleNamespace):
    """The place of a fault."""

    def __init__(
        self, invocation: Invocation, fault: Mapping[str, Any], store: Any, keys: Sequence[str]
    ) -> None:
        super().__init__(invocation=invocation, fault=fault, store=store, keys=keys)


def _job_of(event: Event) -> str:
    if "job_id" in event:
        return str(event["job_id"])
    return re.sub(r"-[ec]\d+-r\d+-t\d+$", "", _ended(event) or "unknown")


def _directory_of(job_id: str) -> Path:
    plans = Path(os.environ[DIRECTORY_VARIABLE])
    return next(
        (found for found in (plans / job_id, plans / ANY) if found.exists()), plans / job_id
    )


def _epoch(event: Event) -> int | None:
    if "epoch" in event:
        return int(event["epoch"])
    of_attempt = re.search(r"-e(\d+)-r\d+-t\d+$", _ended(event))
    return None if of_attempt is None else int(of_attempt[1])


def _ended(event: Event) -> str:
    """Return the name of the execution whose end the event reports."""
    return str(event.get("detail", {}).get("name", ""))


def _role(function: str, event: Event) -> str:
    """Return the name of a call, as some functions have several kinds of calls."""
    if event.get("only_check"):
        return "model_check"
    if event.get("n_slices"):  # an epoch whose model is evaluated apart
        return "evaluator" if "slice" in event else "epoch_merger"
    return function


def _part(event: Event) -> int | None:
    parts = ("rank", "slice", "chunk", "range")
    return next((event[name] for name in parts if name in event), None)


def _await_file(path: Path, wait_s: float = WAIT_S) -> None:
    deadline = time.monotonic() + wait_s
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.01)


# Observation of writes


def _wrap_writes(module: str, name: str) -> None:
    """Number the writes of a class of storages, and inject faults; applies once."""
    kind: Any = getattr(importlib.import_module(f"storage.{module}"), name)
    for operation in WRITES:
        original = vars(kind).get(operation)
        if original is not None and not hasattr(original, "__wrapped__"):
            setattr(kind, operation, _numbered(operation, original))


def _wrap_server_calls() -> None:
    """Number the calls by which a rank changes a job on the parameter server; applies once."""
    from ps_server.client.jobs import JobClient

    def numbered(operation: str, original: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(original)
        def call(client: Any, *arguments: Any) -> Any:
            current = Invocation.current
            if current is None:
                return original(client, *arguments)
            keys = [f"{client.job}{operation}/c/"]
            return current.write(client, operation, keys, lambda: original(client, *arguments))

        return call

    for operation in _SERVER_CALLS:
        original = vars(JobClient)[operation]
        if not hasattr(original, "__wrapped__"):
            setattr(JobClient, operation, numbered(operation, original))


def _numbered(operation: str, original: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(original)
    def write(store: Any, target: Any, *arguments: Any) -> Any:
        keys = [target] if isinstance(target, str) else [*target]
        current = Invocation.current
        if current is None or not keys:
            return original(store, target, *arguments)
        return current.write(store, operation, keys, lambda: original(store, target, *arguments))

    return write


def _original(store: Any, operation: str) -> Callable[..., Any]:
    """Return a storage's operation without faults."""
    method = getattr(type(store), operation)
    return getattr(method, "__wrapped__", method).__get__(store)  # type: ignore[no-any-return]


# Faults before or after a write, or at the beginning or the end of a handler


def kill(_: Struck | None = None) -> NoReturn:
    """End the process like ``kill -9``."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("killed, and still here")


def leave(_: Struck) -> NoReturn:
    """End the process like a crash in a library."""
    os._exit(3)


def be_unavailable(_: Struck) -> NoReturn:
    """Fail like a service that refuses temporarily; after a write, like one with a lost answer."""
    raise StorageUnavailableError("a fault: the storage does not answer")


def delay(_: Struck) -> None:
    """Take long."""
    time.sleep(DELAY_S)


def hang(_: Struck) -> NoReturn:
    """Hang: the function is killed when its time is over."""
    while True:
        time.sleep(60)


def exceed_memory(_: Struck) -> NoReturn:
    """Take more memory than the function has."""
    taken = []
    while True:
        taken.append(bytearray(os.urandom(4096) * 2048))  # 8 MB of resident memory
        time.sleep(0.005)


def be_short_of_time(struck: Struck) -> None:
    """Report, after a few batches, that the function's time is almost over."""
    struck.invocation.context.looks_left = LOOKS


def be_slow(struck: Struck) -> None:
    """Take long for every batch."""
    struck.invocation.context.look_s = SLOW_LOOK_S


def fail(_: Struck) -> NoReturn:
    """Fail with an unexpected error, which no retrier names."""
    raise RuntimeError("a fault: nobody expects this")


def die_when_told(struck: Struck) -> NoReturn:
    """End the process once the test has created the file ``lost``."""
    _await_file(struck.invocation.directory / "lost", math.inf)
    kill()


def hold(struck: Struck) -> None:
    """Wait until the test releases it, however long that takes."""
    _await_file(struck.invocation.directory / "released" / struck.fault["id"], math.inf)


def wait_for_redrive(struck: Struck) -> None:
    """Go on once the test has created the file ``redriven``: the job goes on meanwhile."""
    _await_file(struck.invocation.directory / "redriven")


def stop_job(struck: Struck) -> None:
    """Stop the job as a user; its functions continue, because a stop ends none."""
    import boto3

    claim = storage.open_durable().load(f"jobs/{struck.invocation.job_id}/claim.json")
    execution = json.loads(bytes(claim))["execution_arn"]
    boto3.client("stepfunctions").stop_execution(executionArn=execution)


def be_throttled(_: Struck) -> NoReturn:
    """Fail like an invocation that Lambda refuses: nothing has run."""
    raise _lambda_error("TooManyRequestsException")


def be_refused(_: Struck) -> NoReturn:
    """Fail like an invocation that Lambda loses."""
    raise _lambda_error("ServiceException")


def duplicate(struck: Struck) -> None:
    """Deliver the same event a second time, concurrently."""
    _invoke_copy(struck, late=False)


def duplicate_late(struck: Struck) -> None:
    """Run a second copy, with other bits, that writes after this one has ended."""
    _invoke_copy(struck, late=True)


def damage(struck: Struck) -> None:
    """Flip bits of the value just written."""
    found = _original(struck.store, "load_many")(struck.keys)
    struck.invocation.keep(found)
    if found:
        damaged = {key: _flipped(value) for key, value in found.items()}
        _original(struck.store, "save_many")(damaged)


def lose(struck: Struck) -> None:
    """Lose the value just written."""
    struck.invocation.keep(_original(struck.store, "load_many")(struck.keys))
    _original(struck.store, "delete_many")(struck.keys)


def clear_channel(struck: Struck) -> None:
    """Lose all values of the job in its channel."""
    prefix = f"jobs/{struck.invocation.job_id}/exchange/"
    names = [*struck.store.list(prefix)]
    if names:
        _original(struck.store, "delete_many")(names)


def clear_channel_and_die(struck: Struck) -> None:
    """Lose all values of the job in its channel, and this process."""
    clear_channel(struck)
    kill()


def restart_channel(struck: Struck) -> None:
    """Kill the Redis server; the local AWS starts another one, which is empty."""
    with socket.create_connection(_redis_address()) as connection:
        connection.sendall(b"INFO server\r\n")
        answer = b""
        while (found := re.search(rb"process_id:(\d+)\r\n", answer)) is None:
            answer += connection.recv(4096)
    os.kill(int(found[1]), signal.SIGKILL)


_ACTIONS: Mapping[str, Callable[[Struck], None]] = {
    "kill": kill,
    "exit": leave,
    "unavailable": be_unavailable,
    "delay": delay,
    "hang": hang,
    "memory": exceed_memory,
    "short of time": be_short_of_time,
    "slow": be_slow,
    "fail": fail,
    "stop": stop_job,
    "die when told": die_when_told,
    "hold": hold,
    "until redriven": wait_for_redrive,
    "throttled": be_throttled,
    "refused": be_refused,
    "duplicate": duplicate,
    "late copy": duplicate_late,
    "damage": damage,
    "lose": lose,
    "clear": clear_channel,
    "clear and kill": clear_channel_and_die,
    "restart": restart_channel,
}


def _lambda_error(name: str) -> Exception:
    # Errors of a function and of its service are identified by their class names.
    kind: type[Exception] = type(f"Lambda.{name}", (Exception,), {})
    return kind("a fault: the invocation was refused")


def _invoke_copy(struck: Struck, *, late: bool) -> None:
    import boto3

    event = struck.invocation.event | {COPY: {"fault": struck.fault["id"], "late": late}}
    boto3.client("lambda").invoke(
        FunctionName=os.environ["AWS_LAMBDA_FUNCTION_NAME"],
        InvocationType="Event",
        Payload=json.dumps(event).encode(),
    )


def _flipped(value: Any) -> bytes:
    data = bytearray(value)
    data[len(data) // 2] ^= 0xFF
    return bytes(data)


def _redis_address() -> tuple[str, int]:
    host, _, port = os.environ["STEPML_REDIS_URL"].rpartition("/")[2].partition(":")
    return host, int(port)


@contextmanager
def _other_bits() -> Iterator[None]:
    """Add a little to every result."""
    from comm import Message, in_flight, orchestrated, wire
    from lambdas.job_store import states, store

    encode, pack_state = wire.encode, states.pack_state

    def perturbed_encode(message: Message, *arguments: Any) -> Any:
        return encode(
            Message(message.vector + message.vector.dtype.type(PERTURBATION), message.trailer),
            *arguments,
        )

    def perturbed_state(epoch: int, state: Any) -> bytes:
        return pack_state(epoch, type(state)(state.parameters + 1, state.extras))

    places: list[tuple[Any, str, Any]] = [
        (orchestrated, "encode", perturbed_encode),
        (in_flight, "encode", perturbed_encode),
    ]
    if "lambdas.reducer" in sys.modules:
        places.append((store, "pack_state", perturbed_state))
    before = [(module, name, getattr(module, name)) for module, name, _ in places]
    for module, name, value in places:
        setattr(module, name, value)
    try:
        yield
    finally:
        for module, name, value in before:
            setattr(module, name, value)


# Faults during a write: after its request, or a part of it, and before its answer


@contextmanager
def _on_the_way(store: Any, strike: Callable[[], NoReturn]) -> Iterator[None]:
    """Call ``strike`` once: when S3 has the request, or Redis the first half of the commands."""
    redis: Any = storage.streams.Stream
    s3: Any = http.client.HTTPConnection
    send, respond = redis.send, s3.getresponse

    def restore() -> None:
        redis.send, s3.getresponse = send, respond

    def half_sent(stream: Any, request: Any) -> NoReturn:
        restore()
        data = b"".join(bytes(part) for part in request.parts())
        stream.socket.sendall(data[: len(data) // 2])
        strike()

    def unanswered(connection: Any, *_: Any) -> NoReturn:
        restore()
        strike()

    redis.send, s3.getresponse = half_sent, unanswered
    try:
        yield
    finally:
        restore()


def _cut() -> NoReturn:
    raise ConnectionResetError("a fault: the connection was cut")


@contextmanager
def _slow_down(store: Any) -> Iterator[None]:
    """Make S3 refuse the first requests."""
    from botocore.awsrequest import AWSResponse

    left = [REFUSALS]

    def refuse(request: Any, **_: Any) -> AWSResponse | None:
        if not left[0]:
            return None
        left[0] -= 1
        body = b"<Error><Code>SlowDown</Code><Message>Reduce your request rate.</Message></Error>"
        raw: Any = SimpleNamespace(stream=lambda: iter([body]))
        headers: Any = {}
        return AWSResponse(request.url, 503, headers, raw)

    events = store._client.meta.events
    events.register_first("before-send.s3", refuse)
    try:
        yield
    finally:
        events.unregister("before-send.s3", refuse)


_INTERRUPTIONS: Mapping[str, Callable[[Any], Any]] = {
    "kill": lambda store: _on_the_way(store, kill),
    "cut": lambda store: _on_the_way(store, _cut),
    "slow down": _slow_down,
}
