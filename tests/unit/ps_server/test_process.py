"""The parameter server's process: settings, logs, snapshots, metrics."""

from __future__ import annotations

import json
import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from http.client import HTTPConnection
from pathlib import Path

import numpy as np
import pytest
import xxhash
from prometheus_client import generate_latest

from comm.wire import Message
from ps_server.process.health import HealthServer, Sources, application, ask, registry_of
from ps_server.process.settings import (
    Settings,
    SettingsError,
    command,
    machine_bytes,
    read_settings,
)
from ps_server.protocol.calls import JobSettings, Target, encode_in_parts
from ps_server.state.parameters import Parameters
from ps_server.state.snapshot_files import Snapshots, SnapshotStatus
from stepml.job.step import Step

PLAIN = ("--plain-loopback", "--listen=127.0.0.1:0")
TOKEN = {"STEPML_PS_TOKEN": "sixteen letters."}
ENCODED = encode_in_parts(Message(np.arange(1000, dtype=np.float32), np.array([1.0])))
LIMIT = 2**24
WAIT_S = 240.0  # more than any machine needs

Opener = Callable[[Path], Snapshots]


def read(*flags: str, **environment: str) -> Settings:
    variables = {**TOKEN, **{f"STEPML_PS_{name}": text for name, text in environment.items()}}
    with pytest.MonkeyPatch.context() as patch:
        for name, text in variables.items():
            patch.setenv(name, text)
        return read_settings(flags)


def test_what_is_left_out_has_a_default() -> None:
    settings = read(*PLAIN)
    assert settings.listen == ("127.0.0.1", 0)
    assert settings.grpc_listen is None
    assert settings.health_listen == ("127.0.0.1", 7072)
    assert settings.limit_bytes == machine_bytes() // 2
    assert (settings.expiry_s, settings.snapshot_s, settings.drain_s) == (86_400, 30, 20)
    assert settings.frame_bytes is None
    assert settings.snapshots is None


@pytest.mark.parametrize(
    ("flag", "text", "field", "value"),
    [
        ("listen", "[::1]:7000", "listen", ("::1", 7000)),
        ("grpc-listen", "localhost:1", "grpc_listen", ("localhost", 1)),
        ("health-listen", "", "health_listen", None),
        ("health-listen", "0.0.0.0:1", "health_listen", ("0.0.0.0", 1)),
        ("memory-mb", "1.5", "memory_bytes", 1_572_864),
        ("frame-bytes", "65536", "frame_bytes", 65_536),
        ("max-connections", "7", "max_connections", 7),
        ("expiry-hours", "2", "expiry_s", 7200),
        ("snapshots", "s3://some-bucket/there", "snapshots", "s3://some-bucket/there"),
        ("snapshots", "/var/lib/there", "snapshots", "/var/lib/there"),
        ("snapshot-seconds", "0.5", "snapshot_s", 0.5),
        ("drain-seconds", "0", "drain_s", 0),
        ("log-level", "debug", "log_level", "debug"),
    ],
)
def test_a_flag_and_its_variable_say_the_same(
    flag: str, text: str, field: str, value: object
) -> None:
    variable = flag.upper().replace("-", "_")
    assert getattr(read(*PLAIN, f"--{flag}={text}"), field) == value
    if flag != "listen":  # which PLAIN has
        assert getattr(read(*PLAIN, **{variable: text}), field) == value
        assert getattr(read(*PLAIN, f"--{flag}={text}", **{variable: "other"}), field) == value


@pytest.mark.parametrize(
    ("flags", "environment", "told"),
    [
        (("--memory",), {}, "No such option: --memory"),
        (("--memory-mb",), {}, "'--memory-mb' requires an argument"),
        (("--token=sixteen letters!",), {}, "No such option: --token"),  # on no command line
        ((), {"MEMORY_MB": "lots"}, "--memory-mb: expected a number from 1 to"),
        (("--memory-mb=nan",), {}, "got 'nan'"),
        (("--listen=:7070",), {}, "--listen: expected HOST:PORT, got ':7070'"),
        (("--listen=a:٣",), {}, "--listen: expected HOST:PORT"),
        (("--health-listen=7072",), {}, "--health-listen: expected HOST:PORT, got '7072'"),
        (("--frame-bytes=1",), {}, "--frame-bytes: expected a number from 65536 to"),
        (("--max-connections=0",), {}, "--max-connections: expected a number from 1 to 100000"),
        (("--client-ca=/none",), {}, "--client-ca: expected a file that can be read"),
        (("--snapshots=s3://",), {}, "--snapshots: expected a directory or s3://bucket/prefix"),
        ((), {"TOKEN": "fünfzehn Zeichen!"}, "STEPML_PS_TOKEN: expected a token of printable"),
        (
            (),
            {"TOKEN": "two\nlines, long enough"},
            "STEPML_PS_TOKEN: expected a token of printable",
        ),
    ],
)
def test_what_is_wrong_is_named(
    flags: tuple[str, ...], environment: dict[str, str], told: str
) -> None:
    with pytest.raises(SettingsError) as refused:
        read(*PLAIN, *flags, **environment)
    assert told in str(refused.value)
    assert environment.get("TOKEN", "?") not in str(refused.value)


def test_a_switch_is_true_or_false() -> None:
    assert read("--listen=127.0.0.1:0", PLAIN_LOOPBACK="yes").plain_loopback
    with pytest.raises(SettingsError, match="--plain-loopback: Input should be a valid boolean"):
        read("--listen=127.0.0.1:0", PLAIN_LOOPBACK="maybe")


@pytest.mark.parametrize("content", [b"\xff\xfe" * 20, b"short", b""])
def test_a_file_without_a_token_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "token").write_bytes(content)
    with pytest.raises(SettingsError, match="--token-file: expected a t"):
        read(*PLAIN, f"--token-file={tmp_path / 'token'}")


def test_the_token_is_in_no_text_of_the_settings() -> None:
    settings = read(*PLAIN)
    assert TOKEN["STEPML_PS_TOKEN"] not in f"{settings!r}{settings}"


@pytest.mark.parametrize(
    ("group", "files", "limit_mb"),
    [
        ("0::/\n", {"sys/fs/cgroup/memory.max": "100"}, 100),
        ("0::/\n", {"sys/fs/cgroup/memory.max": "max"}, None),
        ("0::/a/b\n", {"sys/fs/cgroup/a/b/memory.max": "100"}, 100),
        (
            "0::/a/b\n",
            {"sys/fs/cgroup/a/memory.max": "50", "sys/fs/cgroup/a/b/memory.max": "100"},
            50,
        ),
        (
            "5:cpu,cpuacct:/a\n4:memory:/a\n0::/\n",
            {"sys/fs/cgroup/memory/a/memory.limit_in_bytes": "100"},
            100,
        ),
        ("4:memory:/not/seen\n", {"sys/fs/cgroup/memory/memory.limit_in_bytes": "100"}, 100),
        ("", {}, None),
    ],
)
def test_the_limits_of_a_service_or_a_container_count(
    tmp_path: Path, group: str, files: dict[str, str], limit_mb: int | None
) -> None:
    for name, text in {"proc/self/cgroup": group, **files}.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(str(int(text) * 2**20) if text.isdigit() else text)
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert machine_bytes(tmp_path) == (machine if limit_mb is None else limit_mb * 2**20)


def test_every_flag_is_explained() -> None:
    for parameter in command().params:
        assert parameter.help, parameter.name


def with_job(parameters: Parameters, n_pushed: int = 1) -> Parameters:
    parameters.register("jobs/a", JobSettings(4, ENCODED.size))
    for rank in range(n_pushed):
        push(parameters, rank)
    return parameters


def push(parameters: Parameters, rank: int) -> None:
    incoming = parameters.receive(Target("jobs/a", Step(1, 1), rank), ENCODED.size)
    incoming.memory[:] = b"".join(ENCODED.parts)
    incoming.arrived(ENCODED.size)
    parameters.push(incoming)


@pytest.fixture
def open_snapshots() -> Iterator[Opener]:
    """A function that opens a place like a server; it is closed at the end, if not before."""
    with ExitStack() as stack:
        yield lambda place: stack.enter_context(closing(Snapshots(str(place))))


def restored_ranks(directory: Path) -> tuple[int, ...]:
    with closing(Snapshots(str(directory))) as snapshots:
        parameters = snapshots.restore(limit_bytes=LIMIT)
    return parameters.exists("jobs/a", Step(1, 1)).ranks


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.glob("*.stepml-ps"))


def test_what_has_not_changed_is_not_written_again(tmp_path: Path, open_snapshots: Opener) -> None:
    snapshots = open_snapshots(tmp_path)
    parameters = Parameters(limit_bytes=LIMIT)
    changes: list[Callable[[], object]] = [
        lambda: with_job(parameters),
        lambda: push(parameters, 1),
        lambda: parameters.reset("jobs/a", 1),
        lambda: parameters.delete("jobs/"),
        lambda: with_job(parameters),
        lambda: (parameters.delete("jobs/"), with_job(parameters)),
    ]
    snapshots.save(parameters)
    for change in changes:
        before = names(tmp_path)
        snapshots.save(parameters)
        assert names(tmp_path) == before
        change()
        snapshots.save(parameters)
        assert names(tmp_path) != before
    assert len(names(tmp_path)) == 2


def test_snapshots_at_the_same_time_leave_the_newest_last(
    tmp_path: Path, open_snapshots: Opener
) -> None:
    snapshots, parameters = open_snapshots(tmp_path), with_job(Parameters(limit_bytes=LIMIT), 0)
    begun, go = threading.Event(), threading.Event()
    take = parameters.take_snapshot

    def slow() -> object:
        snapshot = take()
        begun.set()
        assert go.wait(WAIT_S)
        return snapshot

    parameters.take_snapshot = slow  # type: ignore[method-assign, assignment]
    first = threading.Thread(target=snapshots.save, args=(parameters,))
    first.start()
    assert begun.wait(WAIT_S)
    parameters.take_snapshot = take  # type: ignore[method-assign]
    push(parameters, 3)
    second = threading.Thread(target=snapshots.save, args=(parameters,))
    second.start()
    second.join(0.1)
    go.set()
    first.join(WAIT_S)
    second.join(WAIT_S)
    snapshots.close()
    assert restored_ranks(tmp_path) == (3,)


def test_snapshots_are_newer_than_all_that_are_there(
    tmp_path: Path, open_snapshots: Opener
) -> None:
    """Whatever their numbers: those of earlier versions were times."""
    snapshots, parameters = open_snapshots(tmp_path), with_job(Parameters(limit_bytes=LIMIT))
    snapshots.save(parameters)
    (first,) = tmp_path.glob("*.stepml-ps")
    first.rename(tmp_path / f"{10**18:020d}.stepml-ps")
    push(parameters, 2)
    snapshots.save(parameters)
    snapshots.close()
    later, again = open_snapshots(tmp_path), with_job(Parameters(limit_bytes=LIMIT), 3)
    later.save(again)
    later.close()
    assert restored_ranks(tmp_path) == (0, 1, 2)


def test_a_disk_that_fills_up_is_not_kept_full(
    tmp_path: Path, open_snapshots: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshots, parameters = open_snapshots(tmp_path), with_job(Parameters(limit_bytes=LIMIT))

    def fail(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        snapshots.save(parameters)
    assert (snapshots.status.is_failing, snapshots.status.failures) == (True, 1)
    assert not list(tmp_path.glob("*.part"))
    snapshots.save(parameters)
    assert not snapshots.status.is_failing
    assert len(names(tmp_path)) == 1


@pytest.mark.parametrize("damage", ["cut", "flipped", "foreign", "other_version", "other_fields"])
def test_instead_of_a_damaged_snapshot_the_one_before_counts(
    tmp_path: Path, open_snapshots: Opener, damage: str
) -> None:
    snapshots, parameters = open_snapshots(tmp_path), with_job(Parameters(limit_bytes=LIMIT))
    snapshots.save(parameters)
    push(parameters, 1)
    snapshots.save(parameters)
    snapshots.close()
    path = tmp_path / names(tmp_path)[-1]
    data = bytearray(path.read_bytes())
    body = data[:-8]
    if damage == "cut":
        path.write_bytes(data[: len(data) // 2])
    elif damage == "flipped":
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    elif damage == "foreign":
        path.write_bytes(checked(b"something else that is whole"))
    elif damage == "other_version":
        path.write_bytes(checked(bytes(body[:4] + b"\x09" + body[5:])))
    else:
        path.write_bytes(checked(bytes(body).replace(b"world_size", b"worlds_siz")))
    assert restored_ranks(tmp_path) == (0,)
    assert path.with_name(path.name + ".damaged").exists()
    assert len(names(tmp_path)) == 1


def checked(body: bytes) -> bytes:
    """Return a file with a correct checksum."""
    return body + xxhash.xxh3_64_digest(body)


def test_snapshots_are_for_their_owner_alone(tmp_path: Path, open_snapshots: Opener) -> None:
    snapshots = open_snapshots(tmp_path / "made" / "here")
    snapshots.save(Parameters(limit_bytes=LIMIT))
    assert (tmp_path / "made" / "here").stat().st_mode & 0o077 == 0


def test_metrics_of_a_job_go_with_it() -> None:
    parameters = with_job(Parameters(limit_bytes=LIMIT))
    registry = registry_of(
        Sources(
            lambda: (True, {}),
            parameters.statistics,
            lambda: Counter({"UnknownJob": 3}),
            lambda: SnapshotStatus(age_s=1.5, seconds=0.25, failures=2, is_failing=True),
        )
    )
    told = generate_latest(registry).decode()
    assert 'stepml_ps_job_pushes_total{job="jobs/a"} 1.0' in told
    assert 'stepml_ps_refusals_total{kind="UnknownJob"} 3.0' in told
    assert "stepml_ps_snapshot_age_seconds 1.5" in told
    assert "stepml_ps_snapshot_failures_total 2.0" in told
    assert "process_resident_memory_bytes" in told
    parameters.delete("jobs/")
    assert "jobs/a" not in generate_latest(registry).decode()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_health_is_answered_and_nothing_else_is(host: str) -> None:
    told = {"status": "starting"}
    statistics = Parameters(limit_bytes=LIMIT).statistics
    sources = Sources(lambda: (told["status"] == "ok", told), statistics, Counter, lambda: None)
    try:
        server = HealthServer((host, 0), application(sources))
    except OSError:
        if host == "::1":
            pytest.skip("no IPv6 here")
        raise
    server.start()
    try:
        address = (host, server.port)
        assert ask(address) == (False, json.dumps(told))
        told["status"] = "ok"
        assert ask(address) == (True, json.dumps(told))
        assert get(address, "/metrics")[0] == 200
        assert get(address, "/")[0] == 404
        assert "Python" not in get(address, "/healthz")[1]
    finally:
        server.stop()
    assert not ask(address)[0]


def get(address: tuple[str, int], path: str) -> tuple[int, str]:
    connection = HTTPConnection(*address, timeout=WAIT_S)
    connection.request("GET", path)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status, str(answer.headers)
