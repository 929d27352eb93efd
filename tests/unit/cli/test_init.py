"""``stepml init``: every example is listed, and is the same job in each format."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from stepml.cli.app import app
from stepml.client.examples import INDEX, JOB, examples
from stepml.client.job_sources import job_json
from stepml.datasets import DATASETS
from stepml.job.parse import parse_job
from tests.support.paths import ROOT

EXAMPLES = ROOT / "examples"


@pytest.fixture(autouse=True)
def _own_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def invoke(*arguments: str | Path, code: int = 0) -> Result:
    result = CliRunner().invoke(app, ["init", *map(str, arguments)])
    assert result.exit_code == code, result.output
    return result


def test_every_example_is_listed_on_a_line() -> None:
    there = {path.stem for path in EXAMPLES.glob("*.json")}
    there |= {path.parent.name for path in EXAMPLES.glob(f"*/{JOB}")}
    lines = invoke().stdout.splitlines()
    assert {line.split()[0] for line in lines[:-1]} == there
    assert max(map(len, lines)) <= 80
    listed = json.loads(invoke("--json").stdout)["examples"]
    assert {each["name"] for each in listed} == there


def test_the_wheel_has_all_examples() -> None:
    packaging = (ROOT / "pyproject.toml").read_text()
    assert '"examples" = "stepml/_plumbing/examples"' in packaging
    assert (EXAMPLES / INDEX).is_file()


@pytest.mark.parametrize("example", examples(), ids=lambda each: each.name)
def test_an_example_is_the_same_job_in_each_format(example: object, tmp_path: Path) -> None:
    name = getattr(example, "name", "")
    shown = invoke(name).stdout
    (first, *commands) = shown.splitlines()
    written = tmp_path / first.split()[1].rstrip(":")
    source = EXAMPLES / (written.relative_to(tmp_path))
    assert written.read_bytes() == source.read_bytes()
    assert commands[-1].strip().startswith(f"stepml run {written.relative_to(tmp_path)}")
    if (tmp_path / name).is_dir():
        assert {each.name for each in (tmp_path / name).iterdir()} == {JOB, "digits_net.py"}
        return
    for file in ("job.yaml", "job.toml", "deep/job.json"):
        invoke(name, file, "--force")
        content = (tmp_path / file).read_bytes()
        assert parse_job(job_json(content, file)) == parse_job(source.read_bytes())


def test_the_commands_fetch_the_data_of_the_example() -> None:
    for name in ("digits_logistic", "covertype_logistic", "diabetes_lasso_admm"):
        dataset = name.split("_", maxsplit=1)[0]
        assert dataset in DATASETS
        assert f"  stepml data get {dataset} --upload --local\n" in invoke(name).stdout
    images = invoke("fashion_mlp_gradient").stdout
    assert "  stepml data put DIRECTORY --to data/fashion/test/ --local\n" in images


def test_fields_of_the_data_are_set_for_a_first_job(tmp_path: Path) -> None:
    rows = "".join(f"{n % 7},5;{n % 3}\n" for n in range(60))
    (tmp_path / "rows.csv").write_text(f"size;kind\n{rows}")

    assert "set data.decimal to ','" in invoke("--data", "rows.csv", code=2).stderr
    invoke("--data", "rows.csv", "--set", "decimal=,", "--set", "data.missing=zero")

    job = json.loads((tmp_path / "rows.json").read_bytes())
    assert job["data"] == {
        "uri": "data/rows.csv",
        "decimal": ",",
        "missing": "zero",
        "label": "kind",
    }
    assert (
        "--set: data.nope: unknown field"
        in invoke("--data", "rows.csv", "--set", "nope=1", code=2).stderr
    )
    assert "--set: goes with --data" in invoke("digits_logistic", "--set", "a=1", code=2).stderr


def test_the_commands_need_no_option_for_what_the_environment_chooses(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "rows.csv").write_text("a,b\n" + "1,x\n2,y\n" * 20)
    monkeypatch.setenv("STEPML_LOCAL", "1")
    for arguments in (["digits_logistic"], ["fashion_mlp_gradient"], ["--data", "rows.csv"]):
        assert "--local" not in invoke(*arguments).stdout


def test_a_file_that_is_there_stays(tmp_path: Path) -> None:
    mine = tmp_path / "digits_logistic.json"
    mine.write_text("mine")
    refused = invoke("digits_logistic", code=2).stderr
    assert "digits_logistic.json exists; --force replaces it" in refused
    assert mine.read_text() == "mine"
    invoke("digits_logistic", "--force")
    assert parse_job(mine.read_bytes())


def test_a_file_of_data_in_place_of_an_example_is_told_its_option(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("my rows.csv").touch()
    result = CliRunner().invoke(app, ["init", "my rows.csv"])
    assert result.exit_code == 2
    assert "stepml init --data 'my rows.csv'" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["digits_logstic"],
            "there is no example 'digits_logstic' (did you mean 'digits_logistic'",
        ),
        (["zzz"], "there is no example 'zzz'; stepml init lists them"),
        (["digits_logistic", "job.txt"], "expected a name that ends in .json, .yaml, .yml, .toml"),
    ],
)
def test_what_cannot_be_written_is_refused(
    arguments: list[str], message: str, tmp_path: Path
) -> None:
    assert message in invoke(*arguments, code=2).stderr
    assert list(tmp_path.iterdir()) == []


ROWS = {
    "two": ("busy", lambda n: "yes" if n % 3 else "no", "logistic_regression"),
    "three": ("kind", lambda n: "abc"[n % 3], "softmax_regression"),
    "numbers": ("price", lambda n: f"{n * 7 % 501 / 10:.2f}", "linear_regression"),
}


@pytest.mark.parametrize("name", ROWS)
def test_a_job_for_own_data_has_a_model_that_suits_the_labels(name: str, tmp_path: Path) -> None:
    label, value, model = ROWS[name]
    rows = "".join(f"{n % 11},{'xy'[n % 2]},{value(n)}\n" for n in range(400))
    (tmp_path / f"{name}.csv").write_text(f"a,city,{label}\n{rows}")

    lines = invoke("--data", f"{name}.csv").stdout.splitlines()

    job = json.loads((tmp_path / f"{name}.json").read_bytes())
    assert job == {"data": {"uri": f"data/{name}.csv", "label": label}, "model": {"name": model}}
    assert lines[0].startswith(f"data: 400 rows, 3 columns (csv, header); label '{label}', ")
    assert lines[-2:] == [
        f"  stepml data put {name}.csv --local",
        f"  stepml run {name}.json --local",
    ]
    invoke("--data", f"{name}.csv", "other.yaml", "--label", label)
    assert parse_job(job_json((tmp_path / "other.yaml").read_bytes(), "x.yaml")) == parse_job(job)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "rows.csv", "--label", "bb"], "--label is 'bb', which is none of the columns"),
        (["--data", "lost.csv"], "--data: 'lost.csv' cannot be read: No such file or directory"),
        (["--data", "rows.csv", "x.txt"], "expected a name that ends in .json"),
        (["digits_defaults", "x.json", "--data", "rows.csv"], "has data of its own"),
        (["--label", "b"], "--label: goes with --data"),
    ],
)
def test_wrong_data_are_refused_and_nothing_is_written(
    arguments: list[str], message: str, tmp_path: Path
) -> None:
    (tmp_path / "rows.csv").write_text("a,b\n" + "1,0\n2,1\n" * 40)
    assert message in " ".join(invoke(*arguments, code=2).stderr.split())
    assert [each.name for each in tmp_path.iterdir()] == ["rows.csv"]
