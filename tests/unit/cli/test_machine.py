"""Errors of this machine: its disk, streams, encodings, signals and environment."""

from __future__ import annotations

import json
import os
import re
import resource
import subprocess
import sys
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ProxyConnectionError
from typer.testing import CliRunner

from stepml.cli.app import app
from stepml.client.connection import translated
from stepml.job import keys
from stepml.local.ports import port_of, reserve_port
from stepml.records.errors import EndpointUnreachableError
from tests.support.moto_stack import BUCKET, MotoStack
from tests.support.paths import ROOT


@pytest.fixture
def name(stack: MotoStack) -> str:
    """The name of a run with two epochs and results."""
    name = f"run-{uuid.uuid4().hex[:8]}"
    stack.put_results(name, stack.put_epochs(name, 2))
    return name


@pytest.fixture(autouse=True)
def _own_directories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("STEPML_LOCAL", "AWS_PROFILE", "STEPML_TRACEBACK"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STEPML_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("STEPML_CACHE_DIR", str(tmp_path / "cache"))


def invoke(*arguments: str | Path, code: int, **variables: str) -> Any:
    """Run a command in this process."""
    result = CliRunner().invoke(app, [str(each) for each in arguments], env=variables)
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    return result


def run(
    command: str, *, code: int, variables: Mapping[str, str] | None = None, **options: Any
) -> tuple[str, str]:
    """Run a line of the shell, in which ``stepml`` is the command; return stdout and stderr."""
    function = f'stepml() {{ {sys.executable} -m stepml "$@"; }}'
    found = subprocess.run(
        ["/bin/bash", "-c", f"{function}\n{command}"],
        env={**os.environ, "PYTHONPATH": str(ROOT), **(variables or {})},
        capture_output=True,
        check=False,
        timeout=240,
        **options,
    )
    stdout, stderr = (each.decode(errors="replace") for each in (found.stdout, found.stderr))
    assert found.returncode == code, stdout + stderr
    assert "Traceback" not in stdout + stderr
    assert "Exception ignored" not in stderr
    return stdout, stderr


def _no_room() -> None:
    """Let this process write no file of more than a byte, as on a full disk."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (1, 1))


def test_a_model_without_room_stays_in_the_bucket(
    stack: MotoStack, job: Path, name: str, tmp_path: Path
) -> None:
    endpoint = {"AWS_ENDPOINT_URL": stack.endpoint_url, "PYTHONDONTWRITEBYTECODE": "1"}

    _, stderr = run(
        f"stepml run {job} --name {name}", code=3, variables=endpoint, preexec_fn=_no_room
    )

    lines = stderr.splitlines()
    assert lines[0].startswith(
        f"ResultsNotFetchedError: {name} has succeeded, but its model cannot"
    )
    assert f"stored in runs/{name}: File too large; free some space, or choose" in lines[0]
    assert lines[1:] == [
        f"  the model is s3://{BUCKET}/{keys.model(name)}",
        f"  fetch it: stepml watch {name} --out DIRECTORY",
    ]
    assert not Path("runs").exists()
    invoke("watch", name, "--out", tmp_path / "other", code=0, **endpoint)
    assert (tmp_path / "other" / name / "model.safetensors").read_bytes() == b"arrays"


def test_a_model_that_cannot_be_stored_is_json_when_asked_for(
    stack: MotoStack, job: Path, name: str
) -> None:
    taken = Path("runs", name, "model.json")
    taken.mkdir(parents=True)
    (taken / "mine").touch()

    result = invoke(
        "run", job, "--name", name, "--json", code=3, AWS_ENDPOINT_URL=stack.endpoint_url
    )

    document = json.loads(result.stdout.splitlines()[-1])
    assert (document["error"], document["status"]) == ("ResultsNotFetchedError", "SUCCEEDED")
    assert document["model_uri"] == f"s3://{BUCKET}/{keys.model(name)}"
    assert (taken / "mine").exists()
    assert not list(Path("runs", name).glob(".*"))


@pytest.mark.parametrize("lost", [keys.report, keys.model, keys.model_card, keys.history])
def test_a_job_without_results_is_not_a_failed_one(
    stack: MotoStack, job: Path, name: str, lost: Any
) -> None:
    stack.service("s3").delete_object(Bucket=BUCKET, Key=lost(name))

    result = invoke("run", job, "--name", name, code=3, AWS_ENDPOINT_URL=stack.endpoint_url)

    assert f"{name} has succeeded, but its results cannot be fetched" in result.stderr
    assert not Path("runs").exists()


@pytest.mark.parametrize(("of_stack", "code"), [("stepml", 0), ("failing", 1)])
def test_a_job_is_followed_to_its_end_though_nobody_reads(
    stack: MotoStack, job: Path, name: str, of_stack: str, code: int
) -> None:
    variables = {"AWS_ENDPOINT_URL": stack.endpoint_url}

    run(
        f"stepml run {job} --name {name} --stack {of_stack} > >(exec <&-)",
        code=code,
        variables=variables,
    )

    assert Path("runs", name, "model.safetensors").exists() == (code == 0)


@pytest.mark.parametrize("form", ["", "--json"])
def test_a_model_is_fetched_though_stdout_is_full(
    stack: MotoStack, job: Path, name: str, form: str
) -> None:
    variables = {"AWS_ENDPOINT_URL": stack.endpoint_url}

    _, stderr = run(
        f"stepml run {job} --name {name} {form} > /dev/full", code=3, variables=variables
    )

    assert f"{name} has succeeded and its model is in runs/{name}, but stdout cannot be" in stderr
    assert Path("runs", name, "model.safetensors").exists()


@pytest.mark.parametrize("command", ["--help", "schema"])
def test_a_full_stdout_is_one_line(command: str) -> None:
    _, stderr = run(f"stepml {command} > /dev/full", code=3)

    assert stderr.count("\n") == 1
    assert "No space left on device" in stderr


@pytest.mark.parametrize("command", ["schema", "--help"])
def test_a_closed_pipe_is_quiet(command: str) -> None:
    """The reader says that it is gone, and then the command writes."""
    script = f"{{ read; stepml {command}; echo $? >&3; }} 3>code"
    _, stderr = run(f"mkfifo gone; ({script}) < gone | (exec <&-; echo > gone)", code=0)

    assert stderr == ""
    assert Path("code").read_text().strip() == "141"


def test_closed_streams_are_no_error() -> None:
    run("stepml schema >&- 2>&- <&-", code=0)
    stdout, _ = run("stepml run nothing.json 2>&-", code=2)
    assert stdout == ""


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_characters_that_cannot_be_written_are_escaped(encoding: str) -> None:
    """Windows' consoles and pipes have a code page."""
    variables = {"PYTHONIOENCODING": encoding, "LC_ALL": "C"}

    run("stepml logs --help && stepml run größe-ł-😀.json", code=2, variables=variables)


def test_json_can_be_read_whatever_the_encoding() -> None:
    variables = {"PYTHONIOENCODING": "cp1252"}

    stdout, _ = run("stepml run größe-ł.json --json", code=2, variables=variables)

    assert "größe-ł.json" in json.loads(stdout)["message"]


@pytest.mark.parametrize("module", ["typer", "msgspec"])
def test_ctrl_c_while_the_command_starts_is_quiet(module: str) -> None:
    code = f"""
import os, signal, sys
from stepml.cli import main

class Interrupts:
    def find_spec(self, name, *rest):
        if name == {module!r}:
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupts())
sys.argv = ["stepml", "--help"]
main()
"""
    found = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (found.returncode, found.stdout, found.stderr) == (130, "", "")


def test_ctrl_c_is_handled_before_anything_slow_is_loaded() -> None:
    code = "import sys, stepml.cli; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-S", "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()

    assert {"stepml", "stepml.cli", "signal"} <= {*loaded}
    assert not {"typing", "re", "importlib.metadata", "typer"} & {*loaded}


@pytest.mark.parametrize(
    ("command", "variable"),
    [("data get digits --no-upload", "STEPML_CACHE_DIR"), ("local up", "STEPML_STATE_DIR")],
)
def test_a_directory_that_cannot_be_made_is_named_with_its_variable(
    command: str, variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    for each in ("STEPML_CACHE_DIR", "STEPML_STATE_DIR", "XDG_CACHE_HOME", "XDG_STATE_HOME"):
        monkeypatch.delenv(each, raising=False)

    result = invoke(*command.split(), code=3, HOME=str(tmp_path / "file"))

    assert result.stderr.startswith(f"LocalMachineError: {tmp_path / 'file'}/")
    assert f"Not a directory; choose another place with {variable}\n" in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_local_aws_without_room_is_one_line_and_leaves_no_process(tmp_path: Path) -> None:
    with reserve_port(0) as reserved:
        port = port_of(reserved)
    variables = {"PYTHONDONTWRITEBYTECODE": "1"}

    _, stderr = run(
        f"stepml local up --port {port}", code=3, variables=variables, preexec_fn=_no_room
    )

    place = tmp_path / "state" / "local.json"
    assert stderr.startswith(f"LocalMachineError: {place}: File too large; free some space")
    assert stderr.endswith("choose another place with STEPML_STATE_DIR\n")
    assert not place.exists()
    processes = subprocess.run(["/bin/ps", "-eo", "args"], capture_output=True, check=True).stdout
    assert f"stepml.local --port {port} ".encode() not in processes


def test_a_data_set_without_room_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    variables = {"PYTHONDONTWRITEBYTECODE": "1", "JOBLIB_MULTIPROCESSING": "0"}

    _, stderr = run(
        "stepml data get digits --no-upload", code=3, variables=variables, preexec_fn=_no_room
    )

    place = tmp_path / "cache" / "datasets"
    assert stderr.startswith(f"LocalMachineError: {place}: File too large; free some space")
    assert stderr.endswith("choose another place with STEPML_CACHE_DIR\n")
    assert stderr.count("\n") == 1
    assert not list(place.iterdir())


@pytest.mark.parametrize(
    ("variable", "value", "reason"),
    [
        ("AWS_DEFAULT_REGION", "", "Invalid endpoint: https://cloudformation..amazonaws.com. Chec"),
        ("AWS_DEFAULT_REGION", "us east", "Provided region_name 'us east' doesn't match"),
        ("AWS_ENDPOINT_URL_CLOUDFORMATION", "http://my_host", "Invalid endpoint: http://my_host."),
        ("AWS_ENDPOINT_URL_CLOUDFORMATION", "http://127.0.0.1:99999", "Port out of range 0-65535."),
        ("config", "region = ", "Invalid endpoint: https://cloudformation..amazonaws.com. Check"),
        ("config", "credential_process = echo hello", "Expecting value: line 1 column 1"),
        ("config", "credential_process = 'echo", "No closing quotation. Check your AWS"),
        ("config", "metadata_service_timeout = abc", "invalid literal for int() with base 10"),
    ],
)
def test_a_wrong_setting_of_aws_is_no_defect(
    variable: str, value: str, reason: str, job: Path, tmp_path: Path
) -> None:
    variables = {"AWS_DEFAULT_REGION": "us-east-1", "AWS_ENDPOINT_URL": "", variable: value}
    variables |= {"AWS_CONFIG_FILE": os.devnull, "AWS_EC2_METADATA_DISABLED": "true"}
    if not value.startswith("credential_process"):
        variables |= {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
    if variable == "config":
        (tmp_path / "config").write_text(f"[default]\n{value}\n")
        variables["AWS_CONFIG_FILE"] = str(tmp_path / "config")
        if "region" in value:
            del variables["AWS_DEFAULT_REGION"]
        else:
            variables["AWS_ENDPOINT_URL"] = "https://127.0.0.1:1"

    result = invoke("run", job, code=3, **variables)

    assert result.stderr.startswith(f"CredentialsError: AWS cannot be used: {reason}")
    assert result.stderr.count("\n") == 1


def test_a_proxy_that_cannot_be_used_is_named() -> None:
    proxied = ProxyConnectionError(proxy_url="http://***:***@proxy:9", error="refused")
    message = r"the proxy http://\*\*\*:\*\*\*@proxy:9 cannot be used; it is set by HTTPS_PROXY or"

    with pytest.raises(EndpointUnreachableError, match=message), translated(None):
        raise proxied


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://my_host:80", "the host 'my_host' is no name of letters"),
        ("http://127.0.0.1:99999", "port out of range 0-65535"),
        ("http://127.0.0.1:port", "port could not be cast to integer"),
        ("http://127.0.0.1:-1", "port"),
        ("http://127.0.0.1:0", "port 0 cannot be connected to"),
        ("localhost:4566", "did you mean http://localhost:4566?"),
        ("ftp://localhost:4566", "the scheme is another"),
        ("http://", "the host is missing"),
        ("http://:4566", "the host is missing"),
        ("http://-a.example", "is no name of letters"),
        ("http://a..b", "is no name of letters"),
        (f"http://{'a' * 64}", "is no name of letters"),
        ("http://me:secret@localhost", "only host, port and path may follow"),
        ("http://localhost/?a=1", "only host, port and path may follow"),
        ("http://localhost#a", "only host, port and path may follow"),
        ("http://[::1", "Invalid IPv6 URL"),
        ("http://local host", "it has a character that no URL has"),
        ("http://größe", "it has a character that no URL has"),
        ("http://localhost\n", "it has a character that no URL has"),
    ],
)
@pytest.mark.parametrize("by_option", [True, False])
def test_an_endpoint_that_cannot_be_one_is_bad_input(
    url: str, reason: str, by_option: bool
) -> None:
    option = ["--endpoint-url", url] if by_option else []
    result = invoke("watch", "x", *option, code=2, AWS_ENDPOINT_URL="" if by_option else url)

    assert result.stderr.startswith(
        "InvalidArgumentError: endpoint: expected http://… or https://…, got"
    )
    assert reason.lower() in result.stderr.lower()
    assert "secret" not in result.stderr or "me:secret" in url
    assert result.stderr.count("\n") == 1


def test_https_to_a_server_without_it_is_one_line(stack: MotoStack) -> None:
    url = stack.endpoint_url.replace("http://", "https://")

    result = invoke("watch", "x", "--endpoint-url", url, code=3)

    assert result.stderr.startswith(f"EndpointUnreachableError: no encrypted connection to {url}")
    assert "is it http://?" in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_defect_is_one_line_that_asks_for_its_traceback(
    stack: MotoStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A parser of arguments that breaks stands for any defect."""
    monkeypatch.setitem(sys.modules, "stepml.job.schema", None)

    result = invoke("schema", code=70)

    assert result.stderr.startswith("InternalError: ModuleNotFoundError: ")
    assert "STEPML_TRACEBACK=1" in result.stderr
    with pytest.raises(ModuleNotFoundError):
        CliRunner().invoke(app, ["schema"], env={"STEPML_TRACEBACK": "1"}, catch_exceptions=False)


@pytest.mark.parametrize("where", ["-", "<(cat job.json)"])
def test_a_job_is_read_from_a_pipe(stack: MotoStack, job: Path, where: str) -> None:
    stdin = "" if "(" in where else "cat job.json |"
    stdout, _ = run(
        f"{stdin} stepml run {where} --detach --json",
        code=0,
        variables={"AWS_ENDPOINT_URL": stack.endpoint_url},
    )

    assert re.fullmatch(r"job-\d{8}-\d{6}-[0-9a-f]{3}", json.loads(stdout)["job_id"])


def test_a_job_from_stdin_that_is_closed_is_empty() -> None:
    _, stderr = run("stepml run - <&-", code=2)

    assert stderr == "InvalidJobError: the job is not JSON: it is empty\n"
