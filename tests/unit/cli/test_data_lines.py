"""The lines that say what the data were taken for."""

from __future__ import annotations

from typing import Any

import pytest

from stepml.cli.data_lines import data_lines
from stepml.job.reports import DatasetFacts, JobWarning

FACTS: dict[str, Any] = {"rows": 60, "columns": 3, "format": "csv", "header": True, "label": "y"}


@pytest.mark.parametrize(
    ("facts", "line"),
    [
        (
            FACTS | {"classes": [0.0, 1.0]},
            "data: 60 rows, 3 columns (csv, header); label 'y', classes 0, 1; none missing",
        ),
        (
            FACTS | {"header": False, "label": "column 3", "label_range": [-1.9156455, 346.0]},
            "data: 60 rows, 3 columns (csv, no header); label 'column 3', -1.91565 to 346;\n"
            "  none missing",
        ),
        (
            FACTS | {"label_range": [0.12345678, 0.12345679]},
            "data: 60 rows, 3 columns (csv, header); label 'y', 0.12345678 to 0.12345679;\n"
            "  none missing",
        ),
        (
            FACTS | {"label_range": [1e9, 1e9 + 1]},
            "data: 60 rows, 3 columns (csv, header); label 'y', 1000000000 to 1000000001;\n"
            "  none missing",
        ),
        (
            FACTS
            | {
                "label_range": [0.0, 1.5],
                "missing_values": 99,
                "kinds": {"number": 2, "category": 3, "boolean": 1},
                "levels": {"sex": 2, "deck": 7, "ticket": 0},
                "fills": {"mean": ["age", "fare", "alone"], "level": ["sex", "deck", "ticket"]},
                "left_out": ["name", "id"],
                "features": 1036,
            },
            "data: 60 rows, 3 columns (csv, header); label 'y', 0 to 1.5; 99 numbers missing\n"
            "features: 2 numbers, 3 categories, 1 boolean: 1036 features of the model\n"
            "levels: sex 2, deck 7, ticket hashed\n"
            "missing values become: the mean (age, fare, alone), a level of their own (sex,\n"
            "  deck, ticket)\n"
            "left out: name, id",
        ),
        (
            FACTS | {"label_range": [2.5, 2.5]},
            "data: 60 rows, 3 columns (csv, header); label 'y', 2.5 to 2.5; none missing",
        ),
        (
            FACTS | {"rows": 1797, "columns": 65, "classes": [*map(float, range(10))]},
            "data: 1,797 rows, 65 columns (csv, header); label 'y', 10 classes, 0 to 9; none\n"
            "  missing",
        ),
        (
            FACTS | {"format": "parquet", "header": None, "objects": 2, "is_learnt": False},
            "data: 60 rows, 3 columns (parquet, 2 objects); label 'y', not learnt; none\n  missing",
        ),
        (
            {"rows": 1, "format": "npz", "missing_values": 7},
            "data: 1 row (npz); no label; 7 values missing",
        ),
        (
            {"rows": 9, "format": "libsvm", "label": "rows begin with their label", "classes": [1]},
            "data: 9 rows (libsvm); rows begin with their label, classes 1; none missing",
        ),
    ],
)
def test_the_data_are_described_in_few_words(facts: dict[str, Any], line: str) -> None:
    assert "\n".join(data_lines(DatasetFacts(**facts))) == line


def test_notes_and_warnings_follow() -> None:
    warning = JobWarning(code="x", text="a " * 50 + "end")
    lines = data_lines(DatasetFacts(**FACTS, notes=["one", "two"], warnings=[warning]))
    assert lines[1:3] == ["note: one", "note: two"]
    assert lines[3].startswith("warning: a a")
    assert lines[4].startswith("  a")
    assert max(map(len, lines)) <= 80
