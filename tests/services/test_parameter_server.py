"""The parameter server as a process: its start, health, stop and recovery."""

from __future__ import annotations

import json
import os
import re
import socket
import ssl
import struct
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import boto3
import numpy as np
import pytest
from moto.server import ThreadedMotoServer

from comm.wire import Message
from ps_server.over_thrift.packing import PushCall, pack_push
from ps_server.process.settings import command
from ps_server.protocol.addresses import Credentials, client_context
from ps_server.protocol.calls import JobSettings, Target, encode_in_parts
from ps_server.protocol.refusals import AccessDenied, Draining
from stepml.job.step import Step
from stepml.local.ports import port_of, reserve_port
from tests.support.parameter_servers import ROOT, TOKEN, open_client, parameter_server
from tests.support.running_aws import WAIT_S, eventually
from tests.support.servers import HOST, Certificates, certificates

STEP = Step(1, 1)
ONE = encode_in_parts(Message(np.ones(1000, np.float32), np.array([1.0])))
SETTINGS = JobSettings(2, ONE.size)


SERVER = (sys.executable, "-m", "ps_server")
STEPML = (str(Path(sys.executable).with_name("stepml")),)


def run(
    *flags: str, token: str = TOKEN, program: tuple[str, ...] = SERVER, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run the program to its end."""
    return subprocess.run(
        [*program, *flags],
        cwd=ROOT,
        env={**os.environ, "STEPML_PS_TOKEN": token, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "--certificate and --key: expected PEM files, got none"),
        (
            ["--certificate", "pyproject.toml"],
            "--certificate and --key: expected PEM files, got --certificate alone",
        ),
        (["--plain-loopback"], "--plain-loopback: expected loopback addresses such as 127.0.0.1"),
        (["--plain-loopback", "--listen", "7070"], "--listen: expected HOST:PORT, got '7070'"),
        (["--listen", "a:99999"], "--listen: expected HOST:PORT, got 'a:99999'"),
        (["--certificate", "/no"], "--certificate: expected a file that can be read, got '/no'"),
        (["--plain-loopback", "--listen=127.0.0.1:0", "--grpc-listen=0.0.0.0:1"], "0.0.0.0:1"),
        (
            ["--plain-loopback", "--listen=127.0.0.1:0", "--key", "pyproject.toml"],
            "--key: goes without --plain-loopback",
        ),
        (
            ["--plain-loopback", "--listen=127.0.0.1:0", "--memory-mb=0"],
            "--memory-mb: expected a number from 1 to",
        ),
        (
            ["--plain-loopback", "--listen=127.0.0.1:0", "--snapshots=s3://X"],
            "--snapshots: expected a directory or s3://bucket/prefix, got 's3://X'",
        ),
        (
            ["--plain-loopback", "--listen=127.0.0.1:0", "--log-level=loud"],
            "--log-level: expected one of debug, info, warning, error, got 'loud'",
        ),
    ],
)
def test_wrong_settings_are_refused_in_one_line(flags: list[str], message: str) -> None:
    ended = run(*flags)
    assert ended.returncode == 2
    assert message in ended.stderr
    assert ended.stderr.count("\n") == 1


@pytest.mark.parametrize("token", ["", "short"])
def test_a_token_that_is_missing_or_short_is_refused(token: str) -> None:
    ended = run("--plain-loopback", "--listen=127.0.0.1:0", token=token)
    assert ended.returncode == 2
    assert "STEPML_PS_TOKEN: expected a token of 16 characters or more" in ended.stderr


def test_every_flag_has_an_environment_variable(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    ended = run(
        "--listen=127.0.0.1:0",
        token="",
        STEPML_PS_PLAIN_LOOPBACK="true",
        STEPML_PS_TOKEN_FILE=str(tmp_path / "token"),
        STEPML_PS_DRAIN_SECONDS="-1",
    )
    assert ended.returncode == 2
    assert ended.stderr == "--drain-seconds: expected a number from 0 to 3600, got '-1'\n"


def test_an_address_that_is_taken_is_named(tmp_path: Path) -> None:
    with parameter_server(tmp_path) as running:
        flags = ("--plain-loopback", f"--listen=127.0.0.1:{running.ports['thrift']}")
        ended = run(*flags, "--health-listen=")
    assert ended.returncode == 1
    assert "the parameter server cannot start: " in ended.stderr
    assert "Address already in use" in ended.stderr


def test_how_it_is_and_what_it_has_is_told(tmp_path: Path) -> None:
    with parameter_server(tmp_path, memory_mb=100) as running:
        health = running.health()
        assert health is not None
        assert (health["status"], health["pid"]) == ("ok", running.pid)
        with running.client() as client:
            client.register("jobs/a", SETTINGS)
            for _ in range(2):
                client.push(Target("jobs/a", STEP, 0), ONE)
            lines = [line for line in running.metrics().splitlines() if line[0] != "#"]
        metrics = {name: float(value) for name, _, value in (each.partition(" ") for each in lines)}
        expected = {
            "stepml_ps_jobs": 1,
            "stepml_ps_connections": 1,
            "stepml_ps_limit_bytes": 100 * 2**20,
            'stepml_ps_job_pushes_total{job="jobs/a"}': 2,
            'stepml_ps_job_repeated_pushes_total{job="jobs/a"}': 1,
            'stepml_ps_job_received_bytes_total{job="jobs/a"}': ONE.size,
            'stepml_ps_job_ranks{job="jobs/a"}': 1,
        }
        assert {name: metrics[name] for name in expected} == expected
        where = f"--health-listen=127.0.0.1:{running.ports['health']}"
        asked = run("--health", where)
        assert (asked.returncode, json.loads(asked.stdout)["status"]) == (0, "ok")
        running.kill()
        asked = run("--health", where)
        assert asked.returncode == 1
        assert "no answer from" in asked.stdout


def test_logs_are_events_without_secrets(tmp_path: Path) -> None:
    with parameter_server(tmp_path, log_level="debug") as running:
        stranger = open_client(running.url("thrift"), Credentials("something else"))
        with pytest.raises(Exception, match="token"):
            stranger.ping()
        stranger.close()
        running.stop()
        lines = [json.loads(line) for line in running.log().splitlines()]
    assert [line["message"] for line in lines if line["level"] == "INFO"] == [
        "parameter server ready",
        "parameter server stops",
        "parameter server stopped",
    ]
    assert TOKEN not in running.log()
    assert "something else" not in running.log()


def test_a_graceful_stop_wakes_who_waits_and_loses_nothing(tmp_path: Path) -> None:
    with parameter_server(
        tmp_path, snapshots=tmp_path / "snapshots", snapshot_seconds=1000
    ) as running:
        client = running.client()
        client.register("jobs/a", SETTINGS)
        client.push(Target("jobs/a", STEP, 1), ONE)
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(client.pull, Target("jobs/a", STEP, 1), wait_s=25)
            time.sleep(0.3)
            assert running.stop() == 0
            with pytest.raises((Draining, ConnectionError)):
                waiting.result(WAIT_S)
        client.close()
        running.start()
        with running.client() as again:
            assert again.register("jobs/a", SETTINGS).is_restored
            assert not again.push(Target("jobs/a", STEP, 0), ONE).is_repeated
            vector = again.pull(Target("jobs/a", STEP, 0)).message("").vector
        assert set(vector.tolist()) == {2.0}


def snapshot_names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.glob("*.stepml-ps"))


def wait_for_snapshot(directory: Path, after: list[str]) -> None:
    eventually(lambda: snapshot_names(directory)[-1:], lambda newest: newest != after[-1:])


@pytest.mark.parametrize("damage", [b"", b"SMPS and then nothing", None])
def test_after_a_crash_the_newest_whole_snapshot_counts(
    tmp_path: Path, damage: bytes | None
) -> None:
    place = tmp_path / "snapshots"
    with parameter_server(tmp_path, snapshots=place, snapshot_seconds=0.2) as running:
        with running.client() as client:
            client.register("jobs/a", SETTINGS)
            client.push(Target("jobs/a", STEP, 1), ONE)
            for batch in (2, 3):  # unchanged state is not written again
                names = snapshot_names(place)
                client.push(Target("jobs/a", Step(1, batch), 1), ONE)
                wait_for_snapshot(place, names)
        running.kill()
        names = snapshot_names(place)
        assert len(names) in (2, 3)  # killed before the deletion of the oldest
        if damage is not None:
            (place / names[-1]).write_bytes(damage)
        (place / "00000000000000000001.part").write_bytes(b"half of one")
        running.start()
        with running.client() as client:
            assert client.exists("jobs/a", STEP).ranks == (1,)
        log = running.log()
        assert ("a snapshot is damaged" in log) == (damage is not None)
        assert (place / f"{names[-1]}.damaged").exists() == (damage is not None)
        assert not (place / "00000000000000000001.part").exists()


def test_a_snapshot_that_fails_ends_nothing_and_is_told(tmp_path: Path) -> None:
    place = tmp_path / "snapshots"
    with parameter_server(tmp_path, snapshots=place, snapshot_seconds=0.1) as running:
        _remove(place)
        place.write_text("a file where the directory was")
        with running.client() as client:
            client.register("jobs/a", SETTINGS)
        eventually(running.health, lambda seen: (seen or {}).get("snapshots") == "failing")
        failures = re.search(r"stepml_ps_snapshot_failures_total (\d+)", running.metrics())
        assert failures is not None
        assert int(failures[1]) > 0
        with running.client() as client:
            client.ping()


def _remove(directory: Path) -> None:
    while directory.is_dir():  # while the server writes to it
        with suppress(OSError):
            for path in directory.iterdir():
                path.unlink(missing_ok=True)
            directory.rmdir()


def test_snapshots_may_lie_in_s3(tmp_path: Path) -> None:
    s3 = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    s3.start()
    host, port = s3.get_host_and_port()
    access: dict[str, str] = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    client_of_s3 = boto3.client(
        "s3",
        endpoint_url=access["AWS_ENDPOINT_URL"],
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    client_of_s3.create_bucket(Bucket="snapshots-of-tests")
    try:
        with parameter_server(
            tmp_path,
            environment=access,
            snapshots="s3://snapshots-of-tests/ps",
            snapshot_seconds=1000,
        ) as running:
            with running.client() as client:
                client.register("jobs/a", SETTINGS)
                client.push(Target("jobs/a", STEP, 1), ONE)
            assert running.stop() == 0
            running.start()
            with running.client() as client:
                assert client.exists("jobs/a", STEP).ranks == (1,)
        listed = client_of_s3.list_objects_v2(Bucket="snapshots-of-tests")
        assert all(item["Key"].startswith("ps/") for item in listed["Contents"])
    finally:
        s3.stop()
        client_of_s3.close()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return certificates(tmp_path_factory.mktemp("certificates"))


def test_a_certificate_and_a_key_that_do_not_fit_are_refused(
    tmp_path: Path, made: Certificates
) -> None:
    given = f"--certificate={made.certificate}", f"--key={made.ca}", "--listen=127.0.0.1:0"
    ended = run(*given)
    assert ended.returncode == 2
    assert "--certificate, --key: expected a certificate and its key in PEM" in ended.stderr
    ended = run(given[0], f"--key={made.key}", given[2], "--client-ca=pyproject.toml")
    assert ended.returncode == 2
    assert "--client-ca: expected certificates in PEM" in ended.stderr


@pytest.mark.parametrize("transport", ["thrift", "grpc"])
def test_with_an_authority_of_clients_a_certificate_of_it_is_needed(
    tmp_path: Path, made: Certificates, transport: str
) -> None:
    with parameter_server(
        tmp_path, transports=("thrift", transport), tls=made, client_ca=made.ca
    ) as running:
        ours = Credentials(
            TOKEN,
            ca_file=str(made.ca),
            certificate_file=str(made.certificate),  # any certificate that it has signed
            key_file=str(made.key),
        )
        with open_client(running.url(transport), ours) as client:
            client.ping()
        with running.client(transport, timeout_s=5) as stranger, pytest.raises(OSError):
            stranger.ping()


@pytest.mark.parametrize("transport", ["thrift", "grpc"])
def test_whoever_has_not_the_token_learns_nothing_and_is_counted(
    tmp_path: Path, transport: str
) -> None:
    with parameter_server(tmp_path, transports=("thrift", transport)) as running:
        with running.client() as client:
            client.register("jobs/secret", SETTINGS)
        with open_client(running.url(transport), Credentials("not the token")) as stranger:
            for ask in (
                stranger.ping,
                stranger.statistics,
                lambda: stranger.exists("jobs/secret", STEP),
                lambda: stranger.exists("jobs/other", STEP),
                lambda: stranger.register("jobs/secret", SETTINGS),
                lambda: stranger.delete("jobs/"),
            ):
                with pytest.raises(AccessDenied) as denied:
                    ask()
                assert running.health()["incarnation"] not in str(denied.value)  # type: ignore[index]
                assert "secret" not in str(denied.value)
        assert 'stepml_ps_refusals_total{kind="AccessDenied"} 6.0' in running.metrics()
        with running.client() as client:
            assert [job.job for job in client.statistics().jobs] == ["jobs/secret"]


def test_a_second_server_does_not_take_the_snapshots_of_the_first(tmp_path: Path) -> None:
    place = tmp_path / "snapshots"
    with parameter_server(tmp_path, snapshots=place):
        ended = run(
            "--plain-loopback", "--listen=127.0.0.1:0", "--health-listen=", f"--snapshots={place}"
        )
    assert ended.returncode == 1
    assert f"another parameter server keeps its snapshots in {place}" in ended.stderr


def test_without_a_way_to_snapshots_it_does_not_begin_with_nothing(tmp_path: Path) -> None:
    with reserve_port(0) as nobody:
        ended = run(
            *("--plain-loopback", "--listen=127.0.0.1:0", "--health-listen="),
            "--snapshots=s3://snapshots-of-tests/ps",
            AWS_ENDPOINT_URL=f"http://127.0.0.1:{port_of(nobody)}",
            AWS_ACCESS_KEY_ID="test",
            AWS_SECRET_ACCESS_KEY="test",
            AWS_MAX_ATTEMPTS="1",
        )
    assert ended.returncode == 1
    assert "the parameter server cannot start: s3://snapshots-of-tests/ps/: " in ended.stderr
    assert ended.stderr.count("\n") == 1


def test_a_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    with parameter_server(tmp_path, drain_seconds=60) as running:
        process = running.process
        assert process is not None
        with socket.create_connection((HOST, running.ports["thrift"])) as half:
            half.sendall(authentication())
            assert half.recv(1)
            with running.client() as client:
                client.register("jobs/a", SETTINGS)
                call = PushCall(Target("jobs/a", STEP, 0), ONE.size, 0, ONE.size)
                half.sendall(pack_push(1, call) + bytes(10))  # a message that stops half-way
                eventually(lambda: client.statistics().used_bytes, bool)  # the server reads it
            process.terminate()
            eventually(running.log, lambda text: "parameter server stops" in text)
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(0.5)
            process.terminate()
            assert process.wait(WAIT_S) == 1


def authentication() -> bytes:
    """Return Thrift's bytes of the call with the token."""
    head = struct.pack("!Hxbi12si", 0x8001, 1, 12, b"authenticate", 0)
    return head + struct.pack("!bhi", 11, 1, len(TOKEN)) + TOKEN.encode() + b"\0"


def stepml(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return run(*arguments, program=STEPML, COLUMNS="80", **environment)


def test_a_secret_has_what_a_server_and_its_clients_need(tmp_path: Path) -> None:
    secret = json.loads(
        stepml("server", "secret", "--host", "127.0.0.1", "--host", "ps.internal").stdout
    )
    for name in ("certificate", "key"):
        (tmp_path / name).write_text(secret[name])
    # As in Lambda, where all variables together must fit into 4 KB.
    assert len(secret["certificate"]) + len(secret["token"]) < 1500
    files = Certificates(tmp_path / "certificate", tmp_path / "certificate", tmp_path / "key")
    with parameter_server(tmp_path, tls=files, token=secret["token"]) as running:
        trusting = Credentials(secret["token"], ca=secret["certificate"])
        context = client_context(trusting)
        context.verify_flags |= ssl.VERIFY_X509_STRICT  # as in Python 3.13 and later
        with (
            socket.create_connection((HOST, running.ports["thrift"]), 10) as plain,
            context.wrap_socket(plain, server_hostname=HOST) as encrypted,
        ):
            assert encrypted.version() in ("TLSv1.2", "TLSv1.3")
        with open_client(running.url("thrift"), trusting) as client:
            incarnation = client.ping().incarnation
        seen = stepml(
            *("server", "status", running.url("thrift"), "--json"),
            STEPML_PARAMETER_SERVER_TOKEN=secret["token"],
            STEPML_PARAMETER_SERVER_CA=secret["certificate"],
        )
        token = {"STEPML_PARAMETER_SERVER_TOKEN": secret["token"]}
        for ca, code, hint in (
            ("", 3, "STEPML_PARAMETER_SERVER_CA has to hold the server's certificate"),
            ("secret/certificate.pem", 2, "STEPML_PARAMETER_SERVER_CA: expected a certificate as"),
        ):
            variables = {**token, "STEPML_PARAMETER_SERVER_CA": ca}
            refused = stepml("server", "status", running.url("thrift"), **variables)
            assert refused.returncode == code
            assert hint in " ".join(refused.stderr.split())
        assert json.loads(seen.stdout)["incarnation"] == incarnation


def test_the_jobs_of_a_server_are_shown_on_eighty_columns(tmp_path: Path) -> None:
    with parameter_server(tmp_path) as running:
        with running.client() as client:
            client.register("jobs/my-job-20261126-101112-abc/exchange/0123/", SETTINGS)
            client.push(Target("jobs/my-job-20261126-101112-abc/exchange/0123/", STEP, 0), ONE)
        seen = stepml(
            "server", "status", running.url("thrift"), STEPML_PARAMETER_SERVER_TOKEN=running.token
        )
        assert seen.returncode == 0, seen.stderr
        assert re.search(r"my-job-20261126-101112-abc +sync +1/2 +0\.0 +1 +0", seen.stdout)
        assert max(map(len, seen.stdout.splitlines())) <= 80
        wrong = {"STEPML_PARAMETER_SERVER_TOKEN": "not the token of this"}
        denied = stepml("server", "status", running.url("thrift"), **wrong)
        assert denied.returncode == 3
        assert "the token is wrong" in denied.stderr
    gone = stepml("server", "status", running.url("thrift"), **wrong)
    assert gone.returncode == 3
    assert running.url("thrift") in gone.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["status"], "expected an address, STEPML_PARAMETER_SERVER_URL or --local, got none"),
        (["status", "http://x"], "expected thrifts://host:port, or thrift://host:port on"),
        (["status", "grpc://127.0.0.1:1"], "got 'grpc://127.0.0.1:1'"),
        (["status", "thrift://10.0.0.1:1"], "leads to another machine without encryption"),
        (["status", "--local", "thrift://127.0.0.1:1"], "exclude each other"),
        (
            ["status", "thrift://127.0.0.1:1"],
            "STEPML_PARAMETER_SERVER_TOKEN: expected the server's",
        ),
        (["secret", "--host", "ümlaut"], "--host: expected a name or an IP address"),
    ],
)
def test_bad_input_to_the_command_is_refused(arguments: list[str], message: str) -> None:
    ended = stepml("server", *arguments)
    assert ended.returncode == 2
    assert message in " ".join(ended.stderr.split())


def test_the_earlier_name_of_the_commands_says_the_new_one_once() -> None:
    ended = stepml("ps", "secret", "--host", "127.0.0.1")
    assert ended.stderr == "stepml ps is now: stepml server\n"
    assert json.loads(ended.stdout)["token"]


def flags() -> set[str]:
    return {flag for parameter in command().params for flag in parameter.opts}


@pytest.mark.parametrize(
    "name", ["parameter-server.service", "Containerfile", "parameter_server.yaml"]
)
def test_files_that_run_it_use_its_flags(name: str) -> None:
    text = (ROOT / "templates" / name).read_text(encoding="utf-8")
    plain = text.replace('", "', " ")
    commands = re.findall(r"-m ps_server[^\n]*", plain)
    used = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", " ".join(commands)))
    variables = set(re.findall(r"STEPML_PS_[A-Z_]+", text)) - {"STEPML_PS_TOKEN"}
    known = {"STEPML_PS_" + flag[2:].upper().replace("-", "_") for flag in flags()}
    assert commands or name == "parameter_server.yaml"  # its VM runs the systemd unit
    assert used <= flags()
    assert variables <= known
    assert used | variables


def test_the_process_has_no_more_than_it_needs_to_answer(tmp_path: Path) -> None:
    """Without a flag for gRPC, grpcio is not needed."""
    (tmp_path / "grpc.py").write_text("raise ImportError('no grpcio here')")
    with (
        parameter_server(tmp_path, environment={"PYTHONPATH": str(tmp_path)}) as running,
        running.client() as client,
    ):
        client.ping()
    ended = run(
        *("--plain-loopback", "--listen=127.0.0.1:0", "--health-listen="),
        "--grpc-listen=127.0.0.1:0",
        PYTHONPATH=str(tmp_path),
    )
    assert ended.returncode == 1
    assert "no grpcio here" in ended.stderr
