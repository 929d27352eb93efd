"""Any arguments and environment: one line or a usage, and a documented exit code."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from stepml.cli.app import app
from tests.fuzz.mutations import fuzzed
from tests.support.moto_stack import JOB_TEXT

# 0 done, 2 bad input, 3 no service or this machine; 1 is left to jobs, 70 to defects.
DOCUMENTED = {0, 2, 3}
# Each command that neither starts a program nor fetches from the network.
COMMANDS = [
    ["run"],
    ["check"],
    ["init"],
    ["watch"],
    ["stop"],
    ["retry"],
    ["epochs"],
    ["compare"],
    ["jobs"],
    ["console"],
    ["logs"],
    ["schema"],
    ["predict"],
    ["data", "get", "digits"],
    ["local", "status"],
    ["local", "down"],
    ["server", "status"],
    ["server", "secret"],
    ["server"],
    ["local"],
    ["data"],
    [],
]
WORDS = [
    *("--json", "--help", "-h", "--local", "--detach", "--follow", "--no-label", "--header"),
    *(
        "--name",
        "--out",
        "--stack",
        "--endpoint-url",
        "--rank",
        "--epoch",
        "--by",
        "--csv",
        "--format",
        "--label",
    ),
    *("--set", "workers=8", "a.b=[", "=", "--repeat", "--print", "--force", "job.yaml", "job.toml"),
    *("--host", "--days", "--upload", "--version", "--", "-", "job.json", "broken.json", "runs"),
    *("model", "rows.csv", "/dev/null", "/dev/full", "/", ".", "", "0", "-1", "1e9", "csv", "x"),
    *("s3://bucket/key", "s3://", "http://my_host", "http://127.0.0.1:99999", "arn:aws:states:x"),
    *("größe", "\udcff", "a\nb", "%s", "{}", "☃" * 200),
]
ARGUMENTS = st.tuples(
    st.sampled_from(COMMANDS),
    st.lists(st.sampled_from(WORDS) | st.text(st.characters(exclude_characters="\0"), max_size=5)),
).map(lambda parts: [*parts[0], *parts[1]])
ENVIRONMENT = st.fixed_dictionaries(
    {},
    optional={
        "HOME": st.sampled_from(["", "/proc", "/dev/null", "relative", "/größe/\udcff"]),
        "XDG_STATE_HOME": st.sampled_from(["", "/proc/x", "relative", "/dev/null"]),
        "STEPML_STATE_DIR": st.sampled_from(["", "/proc/x", "state", "/dev/null/x"]),
        "STEPML_CACHE_DIR": st.sampled_from(["", "/proc/x", "cache", "/dev/null/x"]),
        "STEPML_LOCAL": st.sampled_from(["", "0", "1", "maybe"]),
        "TERM": st.sampled_from(["", "dumb", "xterm-256color", "nonsense"]),
        "COLUMNS": st.sampled_from(["", "0", "1", "3", "80", "100000", "-5", "many"]),
        "LINES": st.sampled_from(["", "0", "1", "x"]),
        "NO_COLOR": st.sampled_from(["", "1"]),
        "FORCE_COLOR": st.sampled_from(["", "1"]),
        "TMPDIR": st.sampled_from(["", "/proc", "/dev/null", "missing"]),
        "LANG": st.sampled_from(["C", "de_DE.UTF-8", "nonsense"]),
        "AWS_ENDPOINT_URL": st.sampled_from(
            ["", "http://", "localhost", "http://[::1", "http://a_b", "https://127.0.0.1:1"]
        ),
        "AWS_DEFAULT_REGION": st.sampled_from(["", "nonsense", "us east", "größe"]),
        "AWS_ENDPOINT_URL_CLOUDFORMATION": st.sampled_from(["x", "http://127.0.0.1:99999"]),
        "AWS_STS_REGIONAL_ENDPOINTS": st.sampled_from(["x"]),
        "AWS_PROFILE": st.sampled_from(["nope"]),
        "AWS_CONFIG_FILE": st.sampled_from(["/dev/null", "broken.json", "/proc"]),
        "AWS_MAX_ATTEMPTS": st.sampled_from(["x", "1"]),
    },
)


@pytest.fixture(scope="module")
def nowhere() -> Iterator[str]:
    """An endpoint at which nothing answers: the port is bound, but not listened on."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "job.json").write_text(JOB_TEXT)
    (tmp_path / "broken.json").write_bytes(b'{"data": \xff')
    (tmp_path / "rows.csv").write_text("1,2\n")
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.safetensors").write_bytes(b"\0" * 9)
    return tmp_path


@settings(fuzzed, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(arguments=ARGUMENTS, environment=ENVIRONMENT)
def test_any_command_line_ends_with_a_line_and_a_documented_code(
    arguments: list[str], environment: dict[str, str], nowhere: str, directory: Path
) -> None:
    base = {
        "PATH": os.environ["PATH"],
        "HOME": str(directory),
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_ENDPOINT_URL": nowhere,
    }
    with patch.dict(os.environ, {**base, **environment}, clear=True):
        result = CliRunner().invoke(app, arguments)

    said = result.stdout + result.stderr
    assert result.exception is None or isinstance(result.exception, SystemExit), arguments
    assert result.exit_code in DOCUMENTED, said
    assert "Traceback" not in said
    assert result.exit_code == 0 or said
