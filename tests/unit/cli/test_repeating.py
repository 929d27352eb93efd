"""``stepml run --repeat``: names, seeds and the spread of results."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from statistics import stdev
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from stepml.cli.app import app
from stepml.cli.options import Target
from stepml.cli.output import Output
from stepml.cli.repeating import run_all, shown, start_all
from stepml.client.repeats import MOST_REPEATS, Repeat, Spread, repeats
from stepml.job.errors import InvalidJobError
from stepml.job.names import DEFAULT_STACK
from stepml.job.reports import JobWarning
from tests.support.moto_stack import JOB, MotoStack


@pytest.fixture(autouse=True)
def _own_directories(stack: MotoStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AWS_ENDPOINT_URL", stack.endpoint_url)
    monkeypatch.setenv("STEPML_STATE_DIR", str(tmp_path / "state"))


def invoke(*arguments: str | Path, code: int = 0) -> Result:
    result = CliRunner().invoke(app, [str(each) for each in arguments])
    assert result.exit_code == code, result.output
    return result


@pytest.fixture
def name(stack: MotoStack) -> str:
    """A name whose three runs have results: losses 1, 2 and 3."""
    name = f"run-{uuid.uuid4().hex[:8]}"
    for number in (1, 2, 3):
        epochs = stack.put_epochs(f"{name}-s{number}", number + 1)
        stack.put_results(f"{name}-s{number}", epochs, loss=float(number))
    return name


def seed_of(stack: MotoStack, name: str) -> Any:
    client = stack.client()
    return json.loads(client.named(name).state.job)["data"]["seed"]


def test_runs_differ_in_their_seed_and_have_a_spread(
    stack: MotoStack, job: Path, name: str
) -> None:
    shown = invoke("run", job, "--set", "data.seed=7", "--name", name, "--repeat", "3").stdout

    assert [seed_of(stack, f"{name}-s{number}") for number in (1, 2, 3)] == [7, 8, 9]
    assert [f"run {n} of 3, with data.seed {n + 6}" in shown for n in (1, 2, 3)] == [True] * 3
    assert "mean ± standard deviation of 3 runs:\n" in shown
    assert "  loss      2.000000 ± 1.000000\n" in shown
    assert "  epochs    3.0 ± 1.0\n" in shown
    assert max(map(len, shown.splitlines())) <= 80
    assert all(Path("runs", f"{name}-s{number}", "model.json").is_file() for number in (1, 2, 3))


def test_the_same_command_goes_on_with_the_other_runs(
    stack: MotoStack, job: Path, name: str
) -> None:
    for count in ("2", "3"):
        lines = invoke("run", job, "--name", name, "--repeat", count, "--json").stdout.splitlines()

    summary = json.loads(lines[-1])
    assert summary["event"] == "summary"
    assert [each["job_id"] for each in summary["runs"]] == [f"{name}-s{n}" for n in (1, 2, 3)]
    assert (summary["mean"]["loss"], summary["deviation"]["loss"]) == (2.0, stdev([1, 2, 3]))
    # Another job must not take over the name.
    taken = invoke("run", job, "--set", "workers=2", "--name", name, "--repeat", "1", code=2)
    assert "RunNameTakenError" in taken.stderr


def test_a_run_that_fails_does_not_keep_the_others_from_training(job: Path, name: str) -> None:
    arguments = ("run", job, "--name", name, "--repeat", "2", "--stack", "failing")
    result = invoke(*arguments, code=1)

    assert result.stdout.count(f"{name}-s2") > 0
    assert f"without a model: {name}-s1, {name}-s2" in result.stderr
    assert "mean" not in result.stdout


def test_models_with_warnings_of_a_strict_job_are_in_the_spread(
    stack: MotoStack, job: Path
) -> None:
    name = f"run-{uuid.uuid4().hex[:8]}"
    warnings = [JobWarning(code="loss_rose", text="the validation loss rose")]
    for each in (f"{name}-s1", f"{name}-s2"):
        stack.put_results(each, stack.put_epochs(each, 2), warnings=warnings)
    arguments = ("run", job, "--name", name, "--repeat", "2", "--stack", "doubtful")
    result = invoke(*arguments, code=4)

    assert "DoubtfulResultError" in result.stderr
    assert "without a model" not in result.stderr
    assert "mean ± standard deviation of 2 runs:" in result.stdout


def test_detached_runs_all_start(stack: MotoStack, job: Path, name: str) -> None:
    arguments = ("run", job, "--name", name, "--repeat", "2", "--detach", "--json")
    lines = [json.loads(line) for line in invoke(*arguments).stdout.splitlines()]

    assert [each["job_id"] for each in lines] == [f"{name}-s1", f"{name}-s2"]
    assert [seed_of(stack, each["job_id"]) for each in lines] == [0, 1]


class Interrupted(list[Repeat]):
    """Runs of which Ctrl-C comes before the second one."""

    def __iter__(self) -> Iterator[Repeat]:
        yield self[0]
        raise KeyboardInterrupt


@pytest.mark.parametrize("detached", [False, True])
def test_ctrl_c_between_two_runs_says_how_to_go_on(
    stack: MotoStack, name: str, capsys: pytest.CaptureFixture[str], detached: bool
) -> None:
    runs = Interrupted(repeats(name, JOB, 3))
    target = Target(stack.endpoint_url, DEFAULT_STACK, "")
    with pytest.raises(KeyboardInterrupt):
        if detached:
            start_all(stack.client(), runs, target, Output(as_json=False))
        else:
            run_all(stack.client(), runs, target, Path("runs"), Output(as_json=False))

    end = "starts the rest" if detached else "follows all runs again"
    assert f"the same command with --name {name} {end}" in capsys.readouterr().err


def test_wrong_uses_are_refused_before_any_request(
    job: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    for count in ("0", str(MOST_REPEATS + 1), "x"):
        assert "--repeat" in invoke("run", job, "--repeat", count, code=2).stderr
    long = invoke("run", job, "--repeat", "100", "--name", "x" * 64, code=2)
    assert "run name: expected at most" in long.stderr
    resumed = JOB | {"resume_from": {"job": "other"}}
    with pytest.raises(InvalidJobError, match=r"resume_from: a job that goes on"):
        repeats("x", resumed, 2)


def test_one_value_has_no_deviation() -> None:
    assert Spread.of([3.0]) == Spread(3.0, 0.0)


@pytest.mark.parametrize(
    ("name", "spread", "text"),
    [
        ("loss", Spread(1.106314, 1.44e-05), "1.106314 ± 0.000014"),
        ("accuracy", Spread(0.34, 0.02828), "0.3400 ± 0.0283"),
        ("rmse", Spread(1234.5678, 12.345), "1234.568 ± 12.345"),
        ("inertia", Spread(3.2e9, 1e7), "3.2e+09 ± 1e+07"),
        ("epochs", Spread(3, 0.5), "3.0 ± 0.5"),
        ("seconds", Spread(19.44, 23.1), "19.4 ± 23.1 s"),
        ("cost_usd", Spread(0.001942, 0.000398), "$ 0.001942 ± 0.000398"),
    ],
)
def test_a_deviation_has_the_decimals_of_its_mean(name: str, spread: Spread, text: str) -> None:
    assert shown(name, spread) == text
