"""Runs side by side: what differs, what came of them, and when each was as good as the others."""

from __future__ import annotations

import csv
from html.parser import HTMLParser
from io import StringIO
from typing import Any

import msgspec
import pytest

from stepml.cli.comparison_table import comparison_lines
from stepml.job.parse import parse_job
from stepml.job.reports import EpochReport
from stepml.reports.comparison import Comparison, Row, compare
from stepml.reports.comparison_page import comparison_page
from stepml.reports.comparison_rows import csv_text, document, epoch_table
from stepml.reports.courses import AXES, EPOCH, SECOND, at_efforts, course
from stepml.reports.letters import run_letters
from stepml.reports.plots import curves_figure, curves_picture
from stepml.reports.run_record import RunRecord
from stepml.reports.settings import differing, settings_of
from tests.support.moto_stack import JOB, epoch_report, job_report
from tests.support.run_records import run_record


def reports(*losses: float, seconds: float = 0.25, usd: float = 0.001) -> list[EpochReport]:
    return [
        msgspec.structs.replace(
            epoch_report(epoch, last=epoch == len(losses)),
            loss=loss,
            seconds=seconds,
            active_seconds=seconds * epoch,
            total_cost_usd=usd * epoch,
        )
        for epoch, loss in enumerate(losses, 1)
    ]


def a_run(
    name: str,
    *losses: float,
    job: Any = None,
    digest: str = "d",
    metric: str = "accuracy",
    **at: float,
) -> RunRecord:
    spec = parse_job(JOB | (job or {}))
    epochs = [
        msgspec.structs.replace(each, metrics={metric: each.metrics["accuracy"]})
        for each in reports(*losses, **at)
    ]
    final = job_report(name, epochs)
    dataset = msgspec.structs.replace(final.dataset, digest=digest)
    final = msgspec.structs.replace(final, spec=spec, dataset=dataset)
    return RunRecord(name, "SUCCEEDED", spec=spec, final=final, dataset=dataset)


def failed_run(name: str) -> RunRecord:
    return RunRecord(name, "FAILED", spec=None)


def of(rows: list[Row], name: str) -> Row:
    (found,) = (row for row in rows if row.name == name)
    return found


def test_jobs_differ_in_fields_with_other_values() -> None:
    workers, rate = JOB | {"workers": 8}, {"name": "model_averaging", "learning_rate": 0.3}
    specs = [parse_job(JOB), parse_job(workers | {"algorithm": rate})]
    assert differing(specs) == {"algorithm.learning_rate": [None, 0.3], "workers": [4, 8]}
    assert differing([specs[0], specs[0]]) == {}


def test_fields_of_one_algorithm_alone_differ_unless_they_are_defaults() -> None:
    admm = parse_job(JOB | {"algorithm": {"name": "admm", "rho": 0.5}})
    found = differing([parse_job(JOB), admm])
    assert found["algorithm.name"] == ["model_averaging", "admm"]
    assert found["algorithm.rho"] == [None, 0.5]
    assert "algorithm.adaptive_rho" not in found
    assert "algorithm.adaptive_rho" in settings_of(admm)
    assert list(found) == sorted(found)


def test_the_first_run_is_the_measure_of_speed_and_cost() -> None:
    found = compare(
        [
            a_run("a", 0.9, 0.5, 0.4, seconds=1.0, usd=0.002),
            a_run("b", 0.6, 0.3, seconds=0.5, usd=0.004, job={"workers": 8}),
        ]
    )
    assert (found.measure, found.level, found.level_text) == ("loss", 0.4, "loss ≤ 0.4000")
    assert of(found.to_level, "epochs").values == [3, 2]
    assert of(found.to_level, "training").values == [3.0, 1.0]
    assert of(found.to_level, "speed-up").values == [1.0, 3.0]
    assert of(found.to_level, "times cheaper").values == [1.0, pytest.approx(0.75)]
    assert of(found.results, "epoch speed-up").values == [1.0, 2.0]
    assert of(found.differences, "workers").cells == ["4", "8"]
    assert found.notes == []


def test_a_run_that_never_ended_an_epoch_is_shown_without_numbers() -> None:
    found = compare([a_run("a", 0.9), failed_run("b"), a_run("c", 0.8)])
    assert of(found.results, "status").cells == ["succeeded", "failed", "succeeded"]
    assert of(found.results, "loss").cells[1] == "–"
    assert of(found.to_level, "epochs").values == [1, None, 1]
    assert compare([failed_run("a"), failed_run("b")]).to_level == []


def test_models_of_different_kinds_are_compared_by_a_common_metric() -> None:
    svm = a_run("b", 0.7, 0.6, job={"model": {"name": "svm"}})
    found = compare([a_run("a", 0.9, 0.5), svm])
    assert (found.measure, found.level_text) == ("accuracy", "accuracy ≥ 0.7500")


def test_models_without_a_common_measure_have_results_but_no_level() -> None:
    kmeans = {"model": {"name": "kmeans", "n_clusters": 3}, "algorithm": None}
    clusters = a_run("b", 0.7, job=kmeans, metric="inertia")
    found = compare([a_run("a", 0.9), clusters])
    assert (found.measure, found.level, found.level_text, found.to_level) == (None, None, "", [])
    assert found.notes == ["models of these kinds have no measure in common"]
    assert of(found.results, "inertia").cells == ["–", "0.5000"]


def test_different_data_and_validation_rows_are_noted() -> None:
    more = {"data": JOB["data"] | {"validation_fraction": 0.5}}
    found = compare([a_run("a", 0.9), a_run("b", 0.8, job=more, digest="e")])
    assert found.notes == [
        "the runs learnt from different data, or read them differently",
        "the runs are judged by different validation rows",
    ]


@pytest.mark.parametrize("seconds", [3.2638409, 51.415749, 13.966779])
def test_the_last_row_of_a_course_has_the_value_of_the_longest_run(seconds: float) -> None:
    found = compare([a_run("a", 0.9, seconds=seconds), a_run("b", 0.8, seconds=seconds / 2)])
    lines = [line for line, _ in comparison_lines(found, "second", 80)]
    assert lines[-1].split() == [f"{seconds:.2f}", "s", "0.9000", "–"]


def test_a_course_has_no_value_before_its_first_epoch_and_after_its_end() -> None:
    points = course(a_run("a", 0.9, 0.5, seconds=2.0), "loss", SECOND)
    assert points == [(2.0, 0.9), (4.0, 0.5)]
    assert at_efforts(points, [1.0, 2.0, 3.0, 5.0, 6.0]) == [None, 0.9, 0.9, 0.5, None]
    assert at_efforts([], [1.0]) == [None]
    assert course(a_run("a", 0.9), "f1", EPOCH) == []


def test_the_table_of_epochs_has_the_settings_that_differ() -> None:
    found = compare([a_run("a", 0.9, 0.5), a_run("b", 0.8, job={"workers": 8})])
    header, rows = epoch_table(found)
    assert header[:3] == ["run", "workers", "epoch"]
    assert [row[:3] for row in rows] == [["a", 4, 1], ["a", 4, 2], ["b", 8, 1]]
    read = list(csv.DictReader(StringIO(csv_text(found))))
    assert [float(row["loss"]) for row in read] == [0.9, 0.5, 0.8]
    assert {row["communication_share"] for row in read} == {""}


def test_the_document_is_json_with_every_epoch() -> None:
    found = document(compare([a_run("a", 0.9, 0.5), failed_run("b")]))
    assert msgspec.json.decode(msgspec.json.encode(found)) == found
    assert [len(run["epochs"]) for run in found["runs"]] == [2, 0]
    assert found["results"]["epochs"] == [2, 0]


class Reader(HTMLParser):
    """Collects elements and text."""

    def __init__(self) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.elements.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def read(comparison: Comparison) -> Reader:
    reader = Reader()
    reader.feed(comparison_page(comparison))
    return reader


def test_a_page_has_the_curves_and_tables_and_escapes_what_users_named() -> None:
    hostile = {"data": JOB["data"] | {"label": "</td><script>alert(1)</script>"}}
    page = read(compare([a_run("a", 0.9, 0.5), a_run("b", 0.8, 0.7, job=hostile)]))
    assert page.elements.count("svg") == len(AXES) + 3  # accuracy, and bars of time and cost
    assert page.elements.count("table") == 3
    assert "script" not in page.elements
    assert "</td><script>alert(1)</script>" in page.text
    assert "svg" not in read(compare([failed_run("a"), failed_run("b")])).elements


def test_a_plot_has_a_panel_for_each_axis_and_a_line_for_each_run() -> None:
    found = compare([a_run("a", 0.9, 0.5), a_run("b", 0.8), failed_run("c")])
    panels = curves_figure(found).axes
    assert [panel.get_xlabel() for panel in panels] == [axis.title for axis in AXES]
    named = [line for line in panels[1].lines if str(line.get_label()) in "abc"]
    assert [len(line.get_xdata()) for line in named] == [2, 1, 0]  # type: ignore[arg-type]
    assert curves_picture(found, "svg").startswith(b"<?xml")
    many = compare([a_run(f"run-{number}", 1.0, 2.0) for number in range(40)])
    assert curves_figure(many).get_figheight() > 2 * curves_figure(found).get_figheight()


def test_runs_that_measured_their_ranks_have_the_parts_of_an_epoch() -> None:
    measured = run_record(n_ranks=41, n_epochs=4)
    found = compare([measured, a_run("earlier", 0.9)])
    assert measured.final is not None
    each = [report.quantiles["compute"][2] for report in measured.final.history]
    assert of(found.parts, "compute").values == [pytest.approx(sum(each) / 4), None]
    assert of(found.results, "communication").cells[1] == "–"
    assert "Seconds of the median rank in a mean epoch, by part" in read(found).text


def test_letters_go_on_after_z() -> None:
    assert run_letters(3) == ["A", "B", "C"]
    assert run_letters(28)[25:] == ["Z", "A2", "B2"]
