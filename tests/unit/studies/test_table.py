"""The table of a study, as CSV, lines and a page."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from stepml.client.stack import Stack
from stepml.studies.cells import FUNCTIONS, cells_of
from stepml.studies.definition import parse_study
from stepml.studies.lines import cell_lines, table_lines
from stepml.studies.page import page_of
from stepml.studies.prices import server_usd, vm_usd
from stepml.studies.results import CellResult, Results
from stepml.studies.studying import CSV_FILE, PAGE_FILE, Studying
from stepml.studies.table import COLUMNS, csv_text, table_of
from tests.support.studies import TEXT, result_of, study_of, whole_table

HOSTILE = "<script src='http://example.invalid/x'></script>&{{7*7}}"


def records(text: str) -> Sequence[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_speed_ups_compare_what_differs_in_workers_alone() -> None:
    for row in whole_table(study_of()).rows:
        alone = 4.0 + row.cell.run
        if row.cell.kind == "scikit-learn":
            assert (row.speed_up, row.against_one_core) == (None, 1.0)
        else:
            assert row.speed_up == pytest.approx(alone / row.result.train_s)
            one_core = 8.0 + row.cell.run
            assert row.against_one_core == pytest.approx(one_core / row.result.train_s)


def test_csv_has_a_line_for_each_run() -> None:
    table = whole_table(study_of())
    found = records(csv_text(table))
    assert list(found[0]) == [*COLUMNS, "exchange.compression"]
    assert len(found) == len(table.rows) == 2 * (3 * 2 * 2 + 1 + 3)
    first = found[0]
    assert (first["kind"], first["workers"], first["channel"]) == ("functions", "1", "s3")
    assert (first["metric"], first["value"], first["run"]) == ("accuracy", "0.75", "1")
    assert {row["channel"] for row in found if row["kind"] == "vm"} == {""}


def test_lines_have_80_columns_and_the_mean_of_runs() -> None:
    lines = [part for line in table_lines(whole_table(study_of())) for part in line.split("\n")]
    assert max(map(len, lines)) <= 80
    assert sum("mean of 2 runs, ± 0.7 s" in line for line in lines) == 3 * 2 * 2 + 1 + 3


def test_lines_of_cells_name_what_is_done_and_what_is_impossible() -> None:
    text = TEXT.replace('"s3", "redis"', '"s3", "parameter_server"')
    text = text.replace("[grid]", '[grid]\n"exchange.pattern" = ["reduce", "reduce_scatter"]')
    cells = cells_of(parse_study(text.encode(), "trial"))
    lines = list(cell_lines(cells, {cells[0].key}))
    assert len(lines) == len(cells) + 1  # the reason
    assert sum(line.endswith("(has a result)") for line in lines) == 1
    assert sum(line.startswith("impossible: exchange.pattern: ") for line in lines) == 1


def test_a_page_escapes_text_and_loads_nothing() -> None:
    study = study_of(HOSTILE)
    failed = CellResult(key="x", status="failed", place=HOSTILE, error=HOSTILE)
    cells = cells_of(study)
    found = [(cell, result_of(cell, 1.0)) for cell in cells[1:]]
    page = page_of(study, table_of([(cells[0], failed), *found]))
    assert "<script" not in page
    assert "49" not in page.split("<title>")[1].split("</title>")[0]
    assert page.count("<svg") >= 4
    assert "± " in page


def test_a_page_without_results_says_so() -> None:
    study = study_of()
    page = page_of(study, table_of([(cell, None) for cell in cells_of(study)]))
    assert "No result yet." in page
    assert "<svg" not in page


def test_results_are_kept_and_damaged_ones_run_again(tmp_path: Path) -> None:
    file = tmp_path / "trial.toml"
    file.write_text(TEXT)
    studying = Studying.of(file, tmp_path / "out")
    cells, results = studying.cells, Results(tmp_path / "out")
    left = len(studying.left())
    results.save(result_of(cells[0], 1.0))
    results.save(msgspec.structs.replace(result_of(cells[1], 1.0), status="failed"))
    results.save(msgspec.structs.replace(result_of(cells[2], 1.0), status="running"))
    assert results.find(cells[0].key) == result_of(cells[0], 1.0)
    assert cells[0] not in studying.left()
    assert len(studying.left()) == left - 1
    next((tmp_path / "out" / "cells").glob(f"{cells[0].key}.json")).write_text("{")
    assert len(studying.left()) == left
    csv_path, page_path = studying.write()
    assert (csv_path.name, page_path.name) == (CSV_FILE, PAGE_FILE)
    assert page_path.read_text().startswith("<!DOCTYPE html>")
    assert not list((tmp_path / "out").glob(".*"))


def test_cells_for_which_the_stack_lacks_something_are_impossible(tmp_path: Path) -> None:
    file = tmp_path / "trial.toml"
    file.write_text(TEXT)
    stack = Stack("stack", "bucket", "train", "epoch", {"RedisUrl": ""})
    studying = Studying.of(file, tmp_path / "out").on(stack)
    refused = [cell for cell in studying.cells if cell.refusal is not None]
    assert {cell.spec.exchange.channel for cell in refused} == {"redis"}
    assert "this deployment has no Redis" in str(refused[0].refusal)
    assert {cell.kind for cell in refused} == {FUNCTIONS}


def test_machines_are_charged_by_their_processors_for_a_minute_at_least() -> None:
    assert vm_usd(1, 10) == vm_usd(2, 60)
    assert vm_usd(4, 3600) == pytest.approx(2 * vm_usd(2, 3600))
    assert vm_usd(8, 3600) == pytest.approx(2 * vm_usd(4, 3600))
    assert server_usd("s3", 3600) == 0
    assert server_usd("redis", 3600) > 0


def test_functions_are_the_only_cells_with_a_channel() -> None:
    for cell in cells_of(study_of()):
        assert (cell.kind == FUNCTIONS) == (" redis " in cell.name or " s3 " in cell.name)
