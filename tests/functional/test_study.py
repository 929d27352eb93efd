"""A study runs each of its cells once, whatever interrupts it."""

from __future__ import annotations

import csv
import json
import signal
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.faults.stack import ANY, FaultyStack, Point
from tests.functional.test_cli import WAIT_S, CommandLine
from tests.support.local_stack import csv_rows

STUDY = """
baselines = ["scikit-learn", "vm"]
[job]
data = {{ uri = "{uri}", label = "label", standardise = true }}
model = {{ name = "logistic_regression" }}
workers = 2
stop = {{ max_epochs = 2 }}
[grid]
algorithm = [{{ name = "model_averaging", learning_rate = 0.5, batch_size = 50 }}]
"exchange.channel" = ["s3", "parameter_server"]
"exchange.pattern" = ["reduce", "reduce_scatter"]
[[leave_out]]
"exchange.channel" = "s3"
"exchange.pattern" = "reduce_scatter"
"""


@pytest.fixture
def stepml(local_stack: FaultyStack, tmp_path: Path) -> CommandLine:
    return CommandLine(local_stack.endpoint_url, tmp_path)


def records(directory: Path) -> Sequence[dict[str, str]]:
    with (directory / "study.csv").open() as file:
        return list(csv.DictReader(file))


def test_a_study_goes_on_after_an_interruption(
    stepml: CommandLine, local_stack: FaultyStack, tmp_path: Path
) -> None:
    name = f"study{uuid.uuid4().hex[:8]}"
    uri = local_stack.upload(f"data/{name}.csv", csv_rows())
    file, out = tmp_path / f"{name}.toml", tmp_path / "runs" / f"{name}-study"
    file.write_text(STUDY.format(uri=uri))
    listed = stepml.run_json("study", file, "--dry-run")["cells"]
    assert [bool(cell["refusal"]) for cell in listed] == [False, False, True, False, False]
    assert not out.exists()

    with (
        local_stack.holding(ANY, Point("executor", 1, 0)) as hold,
        stepml.start("study", file) as process,
    ):
        hold.reached()
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=WAIT_S)
    assert (process.returncode, "with 4 cells left" in stderr) == (130, True), stderr
    assert records(out) == []

    stepml.run("study", file, "--limit", "2")
    assert [row["channel"] for row in records(out)] == ["s3", "parameter_server"]
    stdout, _ = stepml.run("study", file, "--json")
    *lines, end = map(json.loads, stdout.splitlines())
    found = [(line["event"], line["status"], line["kind"]) for line in lines]
    assert found == [("cell", "done", "scikit-learn"), ("cell", "done", "vm")]
    assert end == {
        "event": "study",
        "done": 4,
        "failed": 0,
        "left": 0,
        "impossible": 1,
        "csv": str(Path("runs", out.name, "study.csv")),
        "html": str(Path("runs", out.name, "study.html")),
    }

    s3, server, one_core, vm = records(out)
    assert s3["loss"] == server["loss"] == vm["loss"]
    assert one_core["loss"] != vm["loss"]
    assert float(s3["communication_share"]) > 0
    assert int(s3["requests"]) > 0
    started = local_stack.aws.executions(local_stack.outputs["TrainStateMachineArn"])
    mine = [each["name"] for each in started if each["name"].startswith(name)]
    assert sorted(mine) == sorted([s3["job_id"], server["job_id"]])  # none was started twice


def test_results_of_another_aws_are_not_mixed(stepml: CommandLine, tmp_path: Path) -> None:
    file = tmp_path / "trial.toml"
    file.write_text(STUDY.format(uri="data/absent.csv"))
    _, stderr = stepml.run("study", file, "--limit", "1", "--out", "out", code=1)
    assert stderr == ""
    (path,) = (tmp_path / "out" / "cells").iterdir()
    result: dict[str, Any] = json.loads(path.read_text())
    assert result["status"] == "failed"
    assert "data/absent.csv" in result["error"]
    path.write_text(json.dumps({**result, "place": "eu-central-1, stepml"}))
    _, stderr = stepml.run("study", file, "--limit", "1", "--out", "out", code=2)
    assert "has results of eu-central-1, stepml, not of the local AWS" in stderr
