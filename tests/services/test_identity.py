"""A client knows the local AWS by its id, and nothing of the person's AWS configuration matters."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from stepml.client import connect
from stepml.client.connection import connect_local
from stepml.local import daemon
from stepml.local.record import ServerRecord
from stepml.local_identity import AnotherProgramError, NoAnswerError, ask, use_no_configuration
from stepml.records.errors import EndpointUnreachableError
from tests.services.test_daemon import port
from tests.support.running_aws import WAIT_S, RunningAws
from tests.support.servers import redis_server

__all__ = ["port"]  # the fixture

SSO = """
[default]
region = eu-west-1
sso_session = corp
sso_account_id = 123456789012
sso_role_name = admin
[sso-session corp]
sso_start_url = https://corp.awsapps.com/start
sso_region = eu-west-1
"""
CONFIGURATIONS = {
    "region": "[default]\nregion = eu-west-1\n",
    "sso": SSO,
    "role": "[default]\nrole_arn = arn:aws:iam::1:role/r\nsource_profile = absent\n",
    "program": "[default]\ncredential_process = /nonexistent/program\n",
    "endpoint": "[default]\nendpoint_url = http://127.0.0.1:1\nca_bundle = /nonexistent\n",
    "services": "[default]\nservices = s\n[services s]\ns3 =\n  endpoint_url = http://127.0.0.1:1\n",
    "forms": "[default]\nuse_fips_endpoint = true\nuse_dualstack_endpoint = true\n",
    "s3": "[default]\ns3 =\n  addressing_style = virtual\n  use_accelerate_endpoint = true\n",
    "behaviour": "[default]\nretry_mode = bogus\nmax_attempts = many\ndefaults_mode = bogus\n",
    "damaged": "[default\nregion eu-west-1\n",
}
PROXIES = dict.fromkeys(
    ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY"), "http://127.0.0.1:9"
)
ENVIRONMENTS = [
    {"AWS_DEFAULT_REGION": "eu-central-1", "AWS_REGION": "cn-north-1"},
    {"AWS_PROFILE": "absent"},
    {"AWS_DEFAULT_PROFILE": "absent"},
    {"AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE"},  # without its secret
    {"AWS_WEB_IDENTITY_TOKEN_FILE": "/nonexistent", "AWS_ROLE_ARN": "arn:aws:iam::1:role/r"},
    {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1:9/"},
    PROXIES,
    {"AWS_ENDPOINT_URL": "http://127.0.0.1:1", "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:1"},
    {"AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"},
    {"AWS_CA_BUNDLE": "/nonexistent"},
    {"AWS_USE_FIPS_ENDPOINT": "true", "AWS_USE_DUALSTACK_ENDPOINT": "true"},
    {"AWS_S3_US_EAST_1_REGIONAL_ENDPOINT": "bogus", "AWS_S3_USE_ARN_REGION": "bogus"},
    {"AWS_RETRY_MODE": "bogus", "AWS_MAX_ATTEMPTS": "many", "AWS_DEFAULTS_MODE": "bogus"},
    {"AWS_REQUEST_CHECKSUM_CALCULATION": "bogus", "AWS_STS_REGIONAL_ENDPOINTS": "bogus"},
    {"AWS_CONFIG_FILE": "/", "AWS_SHARED_CREDENTIALS_FILE": "/"},
    {"AWS_DATA_PATH": "/nonexistent", "AWS_ACCOUNT_ID_ENDPOINT_MODE": "required"},
]


def require_local(endpoint_url: str) -> None:
    """Use two services of the local AWS, one of which has its own settings in botocore."""
    connection = connect(endpoint_url)
    assert connection.session.region_name == "us-east-1"
    assert connection.session.get_credentials().access_key == "test"
    assert connection.client("s3").list_buckets()["ResponseMetadata"]["HTTPStatusCode"] == 200
    connection.client("cloudformation").describe_stacks()


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_no_configuration_changes_the_local_aws(
    aws: RunningAws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (tmp_path / "config").write_text(CONFIGURATIONS[name])
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(variable, raising=False)
    require_local(aws.endpoint_url)


@pytest.mark.parametrize("variables", ENVIRONMENTS, ids=lambda each: next(iter(each)))
def test_no_variable_changes_the_local_aws(
    aws: RunningAws, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    require_local(aws.endpoint_url)


def test_the_server_starts_whatever_the_environment_says(
    port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config").write_text(SSO)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    for variables in ENVIRONMENTS[:3] + ENVIRONMENTS[6:-2]:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
    monkeypatch.setenv("MOTO_ACCOUNT_ID", "999999999999")
    started = daemon.up(port=port)
    require_local(started.endpoint_url)


def test_what_a_server_inherits_has_no_configuration() -> None:
    inherited = {**PROXIES, "AWS_PROFILE": "p", "BOTO_CONFIG": "b", "MOTO_X": "m", "PATH": "/bin"}
    use_no_configuration(inherited)
    assert inherited == {
        "PATH": "/bin",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


class OtherService(BaseHTTPRequestHandler):
    """Answers every request with the class's body."""

    body = b"<html>"

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *arguments: object) -> None:
        """Write nothing."""


@contextmanager
def other_service(port: int, body: bytes) -> Iterator[None]:
    handler = type("Handler", (OtherService,), {"body": body})
    with ThreadingHTTPServer(("127.0.0.1", port), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield
        server.shutdown()


@pytest.mark.parametrize(
    "body",
    [b"<html>", b"[]", b'{"status": "ok"}', b'{"pid": 1}', b'{"id": "other", "pid": 1}', b"\xff"],
)
def test_another_program_on_the_port_is_named_and_not_used(port: int, body: bytes) -> None:
    with other_service(port, body):
        _record(port)
        assert daemon.status() is None
        with pytest.raises(AnotherProgramError):
            ask(f"http://127.0.0.1:{port}", WAIT_S)
        with pytest.raises(
            daemon.NotRunningError,
            match=f"not running, and port {port} of 127.0.0.1 is used by another program; start",
        ):
            daemon.require()


def test_a_program_that_does_not_speak_http_is_another_one(tmp_path: Path) -> None:
    with redis_server(tmp_path) as redis, pytest.raises((AnotherProgramError, NoAnswerError)):
        ask(redis.url.replace("redis://", "http://"), WAIT_S)


def test_a_local_aws_of_another_directory_is_not_used(port: int, aws: RunningAws) -> None:
    theirs = int(aws.endpoint_url.rpartition(":")[2])
    _record(theirs, pid=aws.process.pid)  # even if the process id is right
    assert daemon.status() is None
    with pytest.raises(daemon.NotRunningError, match=f"{theirs} .* used by another local AWS; st"):
        daemon.require()


@pytest.mark.parametrize("command", ["watch x --local", "local status"])
def test_the_command_line_says_so_in_one_line(port: int, command: str) -> None:
    _record(port)
    arguments = [sys.executable, "-m", "stepml", *command.split()]
    with other_service(port, b"<html>"):
        done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert done.returncode == 3
    line = done.stdout + done.stderr
    assert line.count("\n") == 1
    assert "the local AWS is not running, and port" in line


def test_a_port_that_accepts_and_never_answers_is_named_soon(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    with socket.create_server(("127.0.0.1", port)):
        with pytest.raises(EndpointUnreachableError, match=r"accepts connections but does not ans"):
            connect(f"http://127.0.0.1:{port}")
        _record(port)
        assert daemon.status() is None
        with pytest.raises(daemon.NotRunningError, match="used by another program"):
            daemon.require()


def test_the_services_of_another_program_keep_the_persons_configuration(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    with other_service(port, b"<html>"):
        connection = connect(f"http://127.0.0.1:{port}")
    assert connection.session.region_name == "eu-central-1"
    assert connect(f"https://127.0.0.1:{port}").session.region_name == "eu-central-1"
    assert connect_local("http://127.0.0.1:1").session.region_name == "us-east-1"


def _record(port: int, pid: int = 1) -> None:
    Path(os.environ["STEPML_STATE_DIR"]).mkdir(exist_ok=True)
    ServerRecord(pid, port, "ours").write()
