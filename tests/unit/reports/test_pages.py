"""Pages in a browser: drawn, without errors, and without a request, whatever text they have."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from stepml.reports.comparison import compare
from stepml.reports.comparison_page import comparison_page
from stepml.reports.fragments import Page, fragment
from stepml.reports.run_card import run_card
from stepml.reports.run_page import run_page
from stepml.reports.run_progress import RunProgress
from stepml.reports.run_record import RunRecord
from stepml.studies.page import page_of
from tests.support.browser import counted_requests, picture_of
from tests.support.run_records import HOSTILE, run_record
from tests.support.studies import study_of, whole_table

SIZE = 1200  # of each page, in pixels
GROUND, COMPUTE, WAIT, LINE, SUCCESS = "#ffffff", "#2c9a57", "#eab308", "#1f6fc4", "#17793f"
TRANSFER = "#2f7fd6"
CHARTS = {
    "report": (COMPUTE, WAIT),
    "comparison": (COMPUTE, WAIT),
    "study": (COMPUTE, TRANSFER),
    "outputs of a notebook": (LINE, SUCCESS),
}


def test_a_browser_draws_pages_and_obeys_no_text(tmp_path: Path) -> None:
    with counted_requests() as (address, asked):
        record, study = run_record(text=HOSTILE.format(address)), study_of(HOSTILE.format(address))
        pages = {
            "report": run_page(record),
            "comparison": comparison_page(compare([record, replace(record, job_id=address)])),
            "study": page_of(study, whole_table(study, place=HOSTILE.format(address))),
            "outputs of a notebook": outputs_of(record),
        }
        frames = ""
        for name, page in pages.items():
            (tmp_path / f"{name}.html").write_text(page, encoding="utf-8")
            frames += f"<iframe src='{name}.html' width={SIZE} height={2 * SIZE}></iframe>"
        (tmp_path / "all.html").write_text(f"<body style='margin:0;white-space:nowrap'>{frames}")
        picture = picture_of(
            tmp_path / "all.html", tmp_path, width=len(pages) * (SIZE + 8), height=2 * SIZE
        )
    assert asked == []
    assert picture.console == []
    for number, name in enumerate(pages):
        page = picture.columns(number * (SIZE + 8), SIZE)
        assert 0.5 < page.share_of(GROUND) < 0.99, name
        for colour in CHARTS[name]:
            assert page.share_of(colour) > (0.0002 if colour == LINE else 0.001), name


def outputs_of(record: RunRecord) -> str:
    card = fragment(run_card(RunProgress.of_record(record)))
    return f"<!DOCTYPE html>{card}{Page(run_page(record), record.job_id)._repr_html_()}"
