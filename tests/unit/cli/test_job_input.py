"""Ways to give a job: files of three formats, standard input, ``--set``."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from stepml.cli.app import app
from tests.support.moto_stack import BUCKET, JOB, MotoStack


@pytest.fixture(autouse=True)
def _own_directories(stack: MotoStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AWS_ENDPOINT_URL", stack.endpoint_url)
    monkeypatch.setenv("STEPML_STATE_DIR", str(tmp_path / "state"))


@pytest.fixture
def yaml_job(tmp_path: Path) -> Path:
    """A job in YAML."""
    path = tmp_path / "job.yaml"
    path.write_text(yaml.safe_dump(JOB), encoding="utf-8")
    return path


def invoke(*arguments: str | Path, code: int = 0, text: str = "") -> Result:
    result = CliRunner().invoke(app, [str(each) for each in arguments], input=text)
    assert result.exit_code == code, result.output
    return result


def started(stack: MotoStack, *arguments: str | Path, text: str = "") -> Any:
    """Return the input of the execution that the arguments start."""
    name = f"run-{uuid.uuid4().hex[:8]}"
    invoke("run", *arguments, "--name", name, "--detach", text=text)
    client = stack.client()
    return json.loads(client.named(name).state.job)


def test_a_job_in_yaml_starts_as_json(stack: MotoStack, yaml_job: Path) -> None:
    assert started(stack, yaml_job) == JOB
    assert started(stack, "-", text=yaml_job.read_text()) == JOB


def test_fields_of_a_job_are_set_in_any_format(stack: MotoStack, job: Path, yaml_job: Path) -> None:
    settings = ("--set", "workers=8", "--set", "algorithm.learning_rate=0.1")
    changed = JOB | {"workers": 8, "algorithm": JOB["algorithm"] | {"learning_rate": 0.1}}
    for file in (job, yaml_job):
        assert started(stack, file, *settings) == changed


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("lr=1", "--set: lr: unknown field (did you mean 'algorithm.learning_rate'?)"),
        ("workers", "--set: expected FIELD=VALUE, got 'workers'"),
        ("workers=many", 'workers: expected an integer from 1 to 1600, got "many"'),
    ],
)
def test_a_wrong_setting_is_refused_before_anything_starts(
    job: Path, setting: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    for command in (["run", str(job)], ["check", str(job), "--data", str(job)]):
        result = invoke(*command, "--set", setting, code=2)
        assert message in " ".join(result.stderr.split())


def test_check_repeats_the_settings_in_the_command_that_starts_the_job(
    stack: MotoStack, job: Path
) -> None:
    stack.put("data/x.csv", b"a,y\n" + b"1,0\n2,1\n" * 40)
    uri = f"data.uri=s3://{BUCKET}/data/x.csv"
    shown = invoke("check", job, "--set", "workers=2", "--set", uri).stdout
    assert f"start it with: stepml run {job} --set workers=2 --set {uri}\n" in shown


def test_check_prints_a_job_as_json(yaml_job: Path) -> None:
    printed = invoke("check", yaml_job, "--set", "workers=2", "--print").stdout
    assert json.loads(printed) == JOB | {"workers": 2}
    wrong = invoke("check", yaml_job, "--set", "workers=0", "--print", code=2)
    assert wrong.stdout == ""


def test_the_client_takes_a_mapping_or_the_content_of_a_file(
    stack: MotoStack, yaml_job: Path
) -> None:
    client = stack.client()
    for job in (JOB, json.dumps(JOB), json.dumps(JOB).encode(), yaml_job.read_bytes()):
        run = client.run(job, f"run-{uuid.uuid4().hex[:8]}")
        assert json.loads(run.state.job) == JOB
