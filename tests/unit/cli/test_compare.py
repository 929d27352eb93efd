"""The comparison of runs of a stack and of directories, on the command line."""

from __future__ import annotations

import json
import re
import shutil
import uuid
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner, Result

from stepml.cli.app import app
from stepml.job.documents import encode
from stepml.job.parse import parse_job
from stepml.reports.aligned import aligned
from stepml.reports.run_record import RunRecord
from tests.support.moto_stack import JOB, JOB_TEXT, MotoStack


@pytest.fixture(autouse=True)
def _own_directories(stack: MotoStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AWS_ENDPOINT_URL", stack.endpoint_url)
    monkeypatch.setenv("STEPML_STATE_DIR", str(tmp_path / "state"))


@pytest.fixture
def runs(stack: MotoStack) -> tuple[str, str]:
    """The names of two runs of three and two epochs; the results of the first are downloaded."""
    client = stack.client()
    names = (f"run-{uuid.uuid4().hex[:8]}", f"run-{uuid.uuid4().hex[:8]}")
    for name, epochs, workers in zip(names, (3, 2), (4, 8), strict=True):
        reports = stack.put_epochs(name, epochs)
        stack.put_results(name, reports, spec=parse_job(JOB | {"workers": workers}))
        list(client.run(JOB_TEXT, name).watch())
    client.named(names[0]).download(Path("runs", names[0]))
    return names


def invoke(*arguments: str, code: int = 0) -> Result:
    result = CliRunner().invoke(app, ["compare", *arguments])
    assert result.exit_code == code, result.output
    return result


def test_runs_are_compared_in_tables_of_80_columns(runs: tuple[str, str]) -> None:
    lines = invoke(*runs).stdout.splitlines()

    assert lines[:4] == [f"A  {runs[0]}", f"B  {runs[1]}", "", "jobs     A  B"]
    assert lines[4] == "workers  4  8"
    assert "epoch speed-up      1.00 ×      1.00 ×" in lines
    assert "until loss ≤ 0.5000           A           B" in lines
    assert lines[-6:] == [
        "loss by epoch       A       B",
        "1              1.0000  1.0000",
        "2              0.5000  0.5000",
        "3              0.3333       –",
        "",
        "cost: AWS list prices × local seconds",
    ]
    assert max(map(len, lines)) <= 80


def test_the_course_of_many_epochs_has_the_first_one(stack: MotoStack) -> None:
    client = stack.client()
    names = []
    for epochs in (1, 30):
        names.append(f"run-{uuid.uuid4().hex[:8]}")
        reports = stack.put_epochs(names[-1], epochs)
        stack.put_results(names[-1], reports, spec=parse_job(JOB))
        list(client.run(JOB_TEXT, names[-1]).watch())

    lines = invoke(*names).stdout.splitlines()

    start = lines.index("loss by epoch       A       B") + 1
    assert [line.split()[0] for line in lines[start:-2]] == (
        ["1", *(str(epoch) for epoch in range(3, 31, 3))]
    )
    assert lines[start] == "1              1.0000  1.0000"
    assert lines[start + 1].split()[1] == "–"


@pytest.mark.parametrize("by", ["second", "dollar"])
def test_the_course_of_training_is_also_shown_by_second_and_dollar(
    runs: tuple[str, str], by: str
) -> None:
    lines = invoke(*runs, "--by", by).stdout.splitlines()
    (start,) = (number for number, line in enumerate(lines) if line.startswith("loss by "))
    assert len(lines) - start == 13
    assert lines[-3].split()[-2:] == ["0.3333", "–"]


def test_long_values_lose_their_middle() -> None:
    place = f"s3://{'b' * 60}/data/rows.csv"
    (line,) = aligned([["data.uri", place, "x"]], {1, 2}, 40, range(3))
    assert re.fullmatch(r"data.uri  s3://b+…data/rows.csv  x", line)
    assert len(line) == 40


def test_many_runs_are_shown_in_blocks(runs: tuple[str, str]) -> None:
    report = RunRecord.of_directory(Path("runs", runs[0])).final
    assert report is not None
    names = [f"copy-{number}" for number in range(12)]
    for name in names:
        Path(name).mkdir()
        renamed = msgspec.structs.replace(report, job_id=name)
        Path(name, "report.json").write_bytes(encode(renamed))
    lines = invoke(*names).stdout.splitlines()
    assert sum(line.startswith("status ") for line in lines) > 1
    assert max(map(len, lines)) <= 80


def test_a_downloaded_run_needs_no_stack(
    runs: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    first = Path("runs", runs[0])
    again = first.rename(first.with_name("again"))
    report = json.loads((again / "report.json").read_text())
    assert report["job_id"] == runs[0]
    refused = invoke(str(again), runs[1], code=3)
    assert f"there is no directory '{runs[1]}', and nothing answers" in refused.stderr
    alone = invoke(str(again), "runs/again", code=2)
    assert "expected two or more different runs" in alone.stderr


def test_json_and_csv_have_every_epoch(runs: tuple[str, str]) -> None:
    document = json.loads(invoke(*runs, "--json").stdout)
    assert [len(run["epochs"]) for run in document["runs"]] == [3, 2]
    assert document["differences"] == {"workers": [4, 8]}
    header, *rows = invoke(*runs, "--csv").stdout.splitlines()
    assert header.startswith("run,workers,epoch,seconds,cost_usd,")
    assert [row.split(",")[:3] for row in rows[2:4]] == [[runs[0], "4", "3"], [runs[1], "8", "1"]]


@pytest.mark.parametrize(
    ("arguments", "file", "start"),
    [
        (("--html",), "compare.html", b"<!DOCTYPE html>"),
        (("--plot",), "compare.png", b"\x89PNG"),
        (("--out", "x.svg"), "x.svg", b"<?xml"),
        (("--out", "x.csv"), "x.csv", b"run,workers,epoch"),
    ],
)
def test_files_have_the_form_of_the_option_or_of_their_ending(
    runs: tuple[str, str], arguments: tuple[str, ...], file: str, start: bytes
) -> None:
    assert invoke(*runs, *arguments).stdout == f"written: {file}\n"
    assert Path(file).read_bytes().startswith(start)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--csv", "--html"), "--csv and --html exclude each other"),
        (("--csv", "--json"), "--csv and --json exclude each other"),
        (("--out", "x.txt"), "--out: expected a file that ends with .csv, .html, .png"),
        (("--plot", "--out", "x.html"), "--out: expected a file that ends with .png, .svg, .pdf"),
    ],
)
def test_bad_forms_are_refused(arguments: tuple[str, ...], message: str) -> None:
    refused = invoke("a", "b", *arguments, code=2)
    assert message in " ".join(refused.output.split())


def test_a_directory_without_results_and_an_unknown_run_are_bad_input(
    runs: tuple[str, str], tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    assert "empty has no results of a run" in invoke("empty", runs[0], code=2).stderr
    assert "no run named 'absent'" in invoke("absent", runs[0], code=2).stderr
    assert msgspec.json.decode(invoke("absent", runs[0], "--json", code=2).stdout)["error"] == (
        "ExecutionNotFoundError"
    )


def test_runs_of_two_stacks_may_have_one_name(runs: tuple[str, str]) -> None:
    shutil.copytree(Path("runs", runs[0]), "other")
    record = RunRecord.of_directory(Path("other"))
    replace(record, started_at=datetime(2026, 1, 2, tzinfo=UTC)).write(Path("other"))
    lines = invoke(runs[0], "other", runs[1]).stdout.splitlines()
    assert lines[:3] == [f"A  {runs[0]}", f"B  {runs[0]}", f"C  {runs[1]}"]
    assert "different runs" in invoke(runs[0], f"runs/{runs[0]}", code=2).stderr
