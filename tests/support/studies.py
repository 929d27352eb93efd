"""A study with results, without running a cell."""

from __future__ import annotations

import json

from stepml.studies.cells import Cell, cells_of
from stepml.studies.definition import Study, parse_study
from stepml.studies.results import CellResult, CurvePoint
from stepml.studies.table import Table, table_of

TEXT = """
title = "Trial"
baselines = ["scikit-learn", "vm"]
repeat = 2
[job]
data = { uri = "data/rows.csv" }
model = { name = "logistic_regression" }
stop = { max_epochs = 3 }
[grid]
workers = [1, 2, 4]
"exchange.channel" = ["s3", "redis"]
"exchange.compression" = ["none", "float16"]
algorithm = [{ name = "model_averaging" }]
"""


def study_of(title: str = "Trial") -> Study:
    return parse_study(TEXT.replace('"Trial"', json.dumps(title)).encode(), "trial")


def result_of(cell: Cell, seconds: float, place: str = "the local AWS") -> CellResult:
    return CellResult(
        key=cell.key,
        status="done",
        place=place,
        job_id=f"job-{cell.run}",
        end="max_epochs 3 reached",
        epochs=3,
        loss=0.5,
        metrics={"accuracy": 0.75},
        seconds=seconds + 1,
        start_s=0.1,
        load_s=1.0,
        train_s=seconds,
        cost_usd=0.001,
        servers_usd=0.002 if cell.spec.exchange.channel == "redis" else 0.0,
        communication_share=0.25 if cell.kind != "scikit-learn" else None,
        requests=10,
        curve=[CurvePoint(epoch, seconds * epoch / 3, 0.001, 1 / epoch) for epoch in (1, 2, 3)],
    )


def seconds_of(cell: Cell) -> float:
    return (8.0 if cell.kind == "scikit-learn" else 4.0 / cell.workers) + cell.run


def whole_table(study: Study, place: str = "the local AWS") -> Table:
    return table_of([(cell, result_of(cell, seconds_of(cell), place)) for cell in cells_of(study)])
