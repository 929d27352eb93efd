"""Input that the command line refuses, its messages and its help; no service is needed."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from stepml.cli.app import app
from stepml.cli.options import Target
from stepml.cli.run import default_name
from stepml.job.installing import install_command
from stepml.job.names import check_job_id
from stepml.job.schema import job_schema
from stepml.local import daemon
from tests.support.artifacts import example, write
from tests.support.moto_stack import JOB, JOB_TEXT

COMMANDS = (
    "run",
    "watch",
    "stop",
    "retry",
    "epochs",
    "logs",
    "schema",
    "data get",
    "deploy",
    "destroy",
    "doctor",
    "local up",
    "local down",
    "local status",
)
GROUPS = ("", "data", "local")
SERVED = ("run", "watch", "stop", "retry", "epochs", "logs", "data get")
WITH_SERVICE = (
    "watch x",
    "stop x",
    "retry x",
    "epochs x",
    "logs x",
    "logs x --follow",
    "data get digits --upload",
    "deploy --yes",
    "destroy --yes",
    "doctor",
)


@pytest.fixture(autouse=True)
def _no_choice_in_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for variable in ("AWS_ENDPOINT_URL", "STEPML_LOCAL", "AWS_PROFILE", "AWS_ACCESS_KEY_ID"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("STEPML_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("STEPML_CACHE_DIR", str(tmp_path / "cache"))


@pytest.fixture
def nowhere() -> Iterator[str]:
    """An endpoint at which nothing answers: the port is bound, but not listened on."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"


@pytest.fixture
def job(tmp_path: Path) -> Path:
    path = tmp_path / "my job.json"
    path.write_text(JOB_TEXT, encoding="utf-8")
    return path


def refused(*arguments: str | Path, code: int = 2) -> str:
    """Run a failing command and return its one line of output."""
    result = CliRunner().invoke(app, [str(each) for each in arguments])
    assert result.exit_code == code, result.output
    assert result.stderr.count("\n") == 1
    assert "Traceback" not in result.output
    return result.stderr.strip()


def refused_in_json(*arguments: str | Path, code: int = 2) -> dict[str, Any]:
    result = CliRunner().invoke(app, [*(str(each) for each in arguments), "--json"])
    assert result.exit_code == code, result.output
    assert result.stderr == ""
    document: dict[str, Any] = json.loads(result.stdout)
    return document


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/full", "/dev/urandom"])
def test_what_has_no_end_is_not_read_to_its_end(device: str, tmp_path: Path) -> None:
    model = write(example("logistic").artifact, tmp_path / "model")

    assert refused("run", device) == (
        f"BadInputError: job file {device!r}: expected a job, in at most 1,048,576 bytes"
    )
    assert refused("predict", model, device) == (
        f"BadInputError: data {device!r} cannot be read: it has no end"
    )


def test_a_file_of_data_is_no_job(tmp_path: Path) -> None:
    data = tmp_path / "data.csv"
    data.write_bytes(b"1,2,0\n" * 200_000)

    assert refused("run", data).endswith("expected a job, in at most 1,048,576 bytes")


@pytest.mark.parametrize("command", [*GROUPS, *COMMANDS])
def test_help_ends_with_an_example(command: str) -> None:
    result = CliRunner().invoke(app, [*command.split(), "--help"])

    assert result.exit_code == 0
    last = result.stdout.strip().splitlines()[-1].strip()
    assert re.fullmatch(rf"Example: stepml {command.split()[0] if command else ''}.*", last)
    assert all(len(line) <= 80 for line in result.stdout.splitlines())


@pytest.mark.parametrize("command", [*GROUPS, "run", "data get", "ps up"])
def test_h_is_help(command: str) -> None:
    short, long = (CliRunner().invoke(app, [*command.split(), each]) for each in ("-h", "--help"))

    assert (short.exit_code, short.stdout) == (0, long.stdout)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_writes_json(command: str) -> None:
    assert "--json" in CliRunner().invoke(app, [*command.split(), "--help"]).stdout


@pytest.mark.parametrize("option", ["--profile", "--region"])
def test_the_aws_on_this_machine_has_no_profile_and_one_region(option: str) -> None:
    line = refused("epochs", "x", "--local", option, "other")

    assert "--local excludes --profile and --region" in line


def test_a_profile_and_a_region_take_precedence_and_are_in_hints(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "config").write_text("[profile mine]\nregion = eu-west-1\n")
    monkeypatch.setenv("AWS_REGION", "us-west-2")
    monkeypatch.setenv("STEPML_LOCAL", "1")

    target = Target.chosen(False, None, "stepml", "mine", "eu-central-1")

    assert target.flags == " --profile mine --region eu-central-1"
    session = target.connection().session
    assert (session.profile_name, session.region_name) == ("mine", "eu-central-1")


def test_a_profile_that_does_not_exist_is_named() -> None:
    line = refused("epochs", "x", "--profile", "nobody", code=3)

    assert line.startswith("CredentialsError: ")
    assert "nobody" in line


@pytest.mark.parametrize(
    "command",
    [
        *("run", "watch", "stop", "retry", "epochs", "logs", "data get"),
        "deploy",
        "destroy",
        "doctor",
    ],
)
def test_every_command_that_needs_a_service_lets_it_be_chosen(command: str) -> None:
    text = CliRunner().invoke(app, [*command.split(), "--help"]).stdout

    options = ("--local", "--endpoint-url", "--profile", "--region", "--stack")
    assert all(option in text for option in options)


def test_the_schema_is_the_one_of_jobs() -> None:
    result = CliRunner().invoke(app, ["schema"])

    assert json.loads(result.stdout) == job_schema()


def test_a_job_file_that_is_missing_is_named(tmp_path: Path) -> None:
    line = refused("run", tmp_path / "none.json", "--local")

    assert "none.json' cannot be read: No such file or directory" in line


def test_a_directory_is_no_job_file(tmp_path: Path) -> None:
    assert "cannot be read: Is a directory" in refused("run", tmp_path, "--local")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("data: 1", "the job is not JSON"),
        ("", "the job is not JSON"),
        ("[]", "the job: expected an object, got []"),
        (json.dumps({**JOB, "patern": 1}), "unknown field 'patern'"),
        (json.dumps({**JOB, "workers": -1}), "workers: expected an integer from 1 to"),
        (json.dumps({**JOB, "workers": "4"}), "workers: expected an integer"),
        (
            json.dumps({**JOB, "model": {"name": "neural", "architecture": "mlp"}}),
            "unknown field 'architecture'",
        ),
        (
            json.dumps({**JOB, "model": {"name": "kmeans", "n_clusters": 2}}),
            "expected expectation_",
        ),
    ],
)
def test_a_job_that_is_wrong_is_refused_in_one_line(
    tmp_path: Path, text: str, expected: str
) -> None:
    path = tmp_path / "job.json"
    path.write_text(text, encoding="utf-8")

    assert expected in refused("run", path, "--local")


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "job.json"
    path.write_bytes(b'{"data": "\xff\xfe"}')

    assert "the job is not JSON" in refused("run", path, "--local")


def test_a_run_name_with_dots_is_refused_with_the_reason_and_another(job: Path) -> None:
    line = refused("run", job, "--name", "p3.12", "--local")

    assert "AWS logs no execution with a dot in its name; try 'p3-12'" in line


def test_each_mistake_has_a_line_and_a_place_in_a_list_of_json(tmp_path: Path) -> None:
    path = tmp_path / "job.json"
    path.write_text(json.dumps({**JOB, "workers": 0, "patern": 1}), encoding="utf-8")

    lines = CliRunner().invoke(app, ["run", str(path)]).stderr.splitlines()
    document = refused_in_json("run", path)

    assert lines[0] == "InvalidJobError: 2 mistakes"
    assert lines[1].startswith("  1. the job: unknown field 'patern'")
    assert lines[2] == "  2. workers: expected an integer from 1 to 1600, got 0"
    assert len(document["mistakes"]) == 2
    assert document["message"] == "; ".join(document["mistakes"])


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("data:\n  uri: x\n", "it is YAML; name it job.yaml"),
        ("# StepML\n", "it looks like Markdown"),
    ],
)
def test_a_file_that_is_no_json_is_named(tmp_path: Path, text: str, mistake: str) -> None:
    path = tmp_path / "job.json"
    path.write_text(text, encoding="utf-8")

    line = refused("run", path)

    assert f"the job is not JSON: {str(path)!r}: {mistake}" in line


def test_a_mistake_in_the_json_is_shown_below_its_message(tmp_path: Path) -> None:
    path = tmp_path / "job.json"
    path.write_text('{\n  "workers": 4,\n}\n', encoding="utf-8")

    shown = CliRunner().invoke(app, ["run", str(path)]).stderr.splitlines()

    assert shown[0].endswith(
        "line 2, column 15: there is a comma after the last element; remove it"
    )
    assert shown[1:] == ['  "workers": 4,', "              ^"]
    assert refused_in_json("run", path)["notes"] == ['"workers": 4,', "            ^"]


def test_a_data_set_that_does_not_exist_is_named_among_the_others() -> None:
    result = CliRunner().invoke(app, ["data", "get", "mnist"], env={"COLUMNS": "200"})

    assert result.exit_code == 2
    assert "Invalid value for 'NAME': 'mnist' is not one of 'covertype'" in result.stderr


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("x" * 81, "run name: expected at most"),
        ("a b", "run name: expected letters, digits"),
        ("", "run name: expected letters, digits"),
    ],
)
def test_a_run_name_that_is_wrong_is_refused(job: Path, name: str, expected: str) -> None:
    assert expected in refused("run", job, "--name", name, "--local")


@pytest.mark.parametrize("stem", ["job", "my job (2)", "x" * 200, "größe", "---", "ümläut-ß"])
def test_a_default_name_can_always_name_a_job(stem: str) -> None:
    name = default_name(Path(f"{stem}.json"))

    assert check_job_id(name, max_epochs=100_000) == name
    assert re.search(r"-\d{8}-\d{6}-[0-9a-f]{3}$", name)


@pytest.mark.parametrize("command", WITH_SERVICE)
def test_nothing_at_the_endpoint_is_one_line(command: str, nowhere: str) -> None:
    line = refused(*command.split(), "--endpoint-url", nowhere, code=3)

    expected = f"EndpointUnreachableError: nothing answers at {nowhere}; start it with: "
    assert line.startswith(expected + "stepml local up")


def test_nothing_at_the_endpoint_of_the_environment_is_one_line(
    job: Path, nowhere: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", nowhere)

    assert f"nothing answers at {nowhere}" in refused("run", job, code=3)


def test_without_credentials_the_way_around_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")

    line = refused("watch", "x", code=3)

    assert "no AWS credentials" in line
    assert "--local" in line


def test_without_a_region_the_way_around_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("AWS_DEFAULT_REGION", "AWS_REGION"):
        monkeypatch.delenv(variable, raising=False)

    assert "region" in refused("watch", "x", code=3)


def test_two_endpoints_are_refused(nowhere: str) -> None:
    line = refused("watch", "x", "--local", "--endpoint-url", nowhere)

    assert "--local and --endpoint-url exclude each other" in line


def test_an_endpoint_that_is_no_url_is_refused() -> None:
    line = refused("watch", "x", "--endpoint-url", "localhost:1")

    assert "endpoint: expected http://… or https://…, got 'localhost:1'" in line


@pytest.mark.parametrize("where", ["--local", "--endpoint-url {nowhere}"])
def test_a_data_set_that_cannot_be_uploaded_is_kept_and_said(where: str, nowhere: str) -> None:
    command = ["data", "get", "digits", *where.format(nowhere=nowhere).split()]

    result = CliRunner().invoke(app, command)

    assert result.exit_code == 3
    assert Path(result.stdout.removeprefix("digits: ").strip()).is_file()
    assert result.stderr.count("\n") == 1
    assert "stepml local up" in result.stderr
    assert refused_in_json(*command, code=3)["error"] in (
        "EndpointUnreachableError",
        "LocalAwsFailedError",
    )


def test_errors_are_json_when_asked_for(tmp_path: Path, job: Path, nowhere: str) -> None:
    missing = refused_in_json("run", tmp_path / "none.json")
    assert missing["error"] == "BadInputError"
    named = refused_in_json("run", job, "--name", "a b")
    assert named["error"] == "InvalidJobError"
    assert named["message"].startswith("run name: expected letters")
    unreachable = refused_in_json("watch", "x", "--endpoint-url", nowhere, code=3)
    assert unreachable["error"] == "EndpointUnreachableError"


def test_wrong_use_is_json_as_well_when_asked_for() -> None:
    assert refused_in_json("watch")["error"] == "UsageError"
    assert "--nope" in refused_in_json("watch", "x", "--nope")["message"]
    assert "nope" in refused_in_json("data", "get", "nope")["message"]


def test_the_local_aws_that_does_not_run_has_a_status() -> None:
    result = CliRunner().invoke(app, ["local", "status", "--json"])

    assert result.exit_code == 3
    assert json.loads(result.stdout) == {"running": False}


def test_ending_the_local_aws_that_does_not_run_is_no_error() -> None:
    result = CliRunner().invoke(app, ["local", "down", "--json"])

    assert result.exit_code == 0
    assert json.loads(result.stdout) == {"running": False, "ended": False}


def test_a_directory_of_something_else_and_a_network_with_a_mistake_start_nothing(
    tmp_path: Path,
) -> None:
    (tmp_path / "slow.toml").write_text("[s3]\nlatency = 5\n")

    assert refused("local", "up", "--keep", str(tmp_path)) == (
        f"BadInputError: --keep: {tmp_path} has files that are not those of a local AWS; name a "
        "new directory"
    )
    assert refused("local", "up", "--network", str(tmp_path / "slow.toml")) == (
        f"BadInputError: --network: {tmp_path}/slow.toml: [s3] 'latency' is unknown (did you "
        "mean 'latency_ms'?)"
    )
    assert not daemon.is_running()


@pytest.mark.parametrize("package", ["moto", "awslambdaric", "samtranslator"])
def test_without_the_extra_the_local_aws_says_how_to_install_it(
    package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(
        sys.modules, package, None
    )  # Python's mark of a module that cannot be imported

    line = refused("local", "up", code=3)

    assert f"not installed (no {package}); install it with: {install_command('local')}" in line


@pytest.mark.parametrize("platform", ["darwin", "win32"])
@pytest.mark.parametrize("command", ["local up", "local down", "local status", "watch x --local"])
def test_other_systems_than_linux_are_refused_with_the_way_around(
    platform: str, command: str
) -> None:
    absent = ["fcntl", "pwd"] if platform == "win32" else []
    code = (
        "import sys, sysconfig, urllib.request\n"
        "sysconfig.get_config_vars()\n"  # both load modules of the system
        "from stepml.cli import main\n"
        "from stepml.cli.app import app\n"
        f"sys.modules.update(dict.fromkeys({absent}))\n"
        f"sys.platform, sys.argv[1:] = {platform!r}, {command.split()}\n"
        "main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert done.returncode == 3, done.stderr
    assert done.stderr == (
        f"LocalAwsFailedError: the local AWS needs Linux, and this system is {platform}; use a "
        'container, for example: docker run -it -v "$PWD":/stepml -w /stepml python:3.13 bash\n'
    )


@pytest.mark.parametrize("value", ["1", "true", "yes"])
def test_the_environment_chooses_the_aws_on_this_machine(
    value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STEPML_LOCAL", value)

    assert Target.chosen(local=False, endpoint_url=None, stack="stepml").endpoint_url == (
        "http://127.0.0.1:4566"
    )


@pytest.mark.parametrize("command", WITH_SERVICE)
def test_the_local_aws_that_does_not_run_is_not_looked_for_elsewhere(command: str) -> None:
    line = refused(*command.split(), "--local", code=3)

    assert line.startswith("LocalAwsFailedError: the local AWS is not running")
    assert "stepml local up" in line


def test_the_environment_chooses_the_parameter_server_on_this_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("STEPML_LOCAL", "1")

    line = refused("server", "status", code=3)

    assert line.startswith("LocalAwsFailedError: the local AWS is not running")


def test_an_option_wins_over_the_environment(nowhere: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("STEPML_LOCAL", "1")

    by_url = Target.chosen(local=False, endpoint_url=nowhere, stack="stepml")
    by_name = Target.chosen(local=True, endpoint_url=None, stack="mine")

    assert (by_url.endpoint_url, by_url.flags) == (nowhere, f" --endpoint-url {nowhere}")
    assert by_name.endpoint_url == "http://127.0.0.1:4566"
    assert by_name.flags == " --local --stack mine"


def test_help_imports_neither_boto3_nor_numpy_nor_moto() -> None:
    code = (
        "import sys\n"
        "from typer.testing import CliRunner\n"
        "from stepml.cli.app import app\n"
        "assert CliRunner().invoke(app, ['--help']).exit_code == 0\n"
        "heavy = {'boto3', 'botocore', 'numpy', 'moto', 'sklearn'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )

    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": "."})


def test_the_module_is_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "stepml", "--version"], check=True, capture_output=True, text=True
    )

    assert re.fullmatch(r"\d+\.\d+\.\d+\S*\n", done.stdout)


def test_results_that_cannot_be_written_are_refused_before_the_start(
    job: Path, nowhere: str, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    line = refused("run", str(job), "--out", str(tmp_path / "file"), "--endpoint-url", nowhere)

    assert line.startswith("BadInputError: --out: expected a directory to write to, got ")


def test_an_answer_of_something_else_is_one_line(job: Path) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), _SomethingElse) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        line = refused("run", str(job), "--endpoint-url", url, code=3)
        server.shutdown()

    assert line.startswith(f"EndpointUnreachableError: the server at {url} is no AWS service")


class _SomethingElse(SimpleHTTPRequestHandler):
    """A web server that is not AWS."""

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002
        return


@pytest.mark.parametrize(
    ("given", "meant"),
    [("job", "job.json"), ("jbo.json", "job.json"), ("JOB.yaml", "job.json"), ("other", None)],
)
def test_a_job_file_that_is_missing_has_the_one_that_is_meant(
    tmp_path: Path, given: str, meant: str | None
) -> None:
    (tmp_path / "job.json").write_text("{}")

    line = refused("run", tmp_path / given)

    assert ("did you mean" in line) == (meant is not None)
    assert meant is None or line.endswith(f"(did you mean {str(tmp_path / meant)!r}?)")


def test_mistakes_of_the_job_and_its_name_come_together(tmp_path: Path) -> None:
    path = tmp_path / "job.json"
    path.write_text(json.dumps({**JOB, "workers": "4"}), encoding="utf-8")

    found = refused_in_json("run", path, "--name", "p3.12")["mistakes"]

    assert [each.partition(": ")[0] for each in found] == ["workers", "run name"]


def test_check_shows_the_place_of_a_mistake_in_the_json(tmp_path: Path) -> None:
    path = tmp_path / "job.json"
    path.write_text('{"workers": 4, # four\n}', encoding="utf-8")

    shown = CliRunner().invoke(app, ["check", str(path)]).stderr.splitlines()

    assert shown[2:] == ['  {"workers": 4, # four', "                 ^"]
