"""Numbers in human-readable form."""

from __future__ import annotations

import msgspec
import pytest

from stepml.cli.display import epoch_note
from stepml.cli.figures import accuracy_lines, on_its_own, shown
from stepml.job.reports import ClassQuality
from tests.support.moto_stack import epoch_report


@pytest.mark.parametrize(
    ("value", "decimals", "text"),
    [
        (0.512211, 6, "0.512211"),
        (0.75634, 4, "0.7563"),
        (0.0, 6, "0.000000"),
        (1.23456e-7, 6, "1.23e-07"),
        (0.00034, 4, "0.00034"),
        (2041.6123, 6, "2041.61230"),
        (6692.4, 4, "6692.400"),
        (305812.3, 4, "305812.3"),
        (12345678.9, 4, "12345679"),
        (9.14819e14, 6, "9.148e+14"),
        (-55.9399, 4, "-55.9399"),
    ],
)
def test_what_there_is_room_for_is_shown(value: float, decimals: int, text: str) -> None:
    assert shown(value, decimals) == text
    assert len(text) <= decimals + 4


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.23456789e11, "1.23457e+11"),
        (-1.23456789e11, "-1.23457e+11"),
        (12345678.9, "12345679"),
        (0.75634, "0.7563"),
        (float("nan"), "nan"),
        (float("inf"), "inf"),
    ],
)
def test_a_number_on_its_own_has_six_digits(value: float, text: str) -> None:
    assert on_its_own(value, 4) == text


@pytest.mark.parametrize(
    ("lost", "note"),
    [(None, ""), (0, ""), (1, "1 update lost"), (7079, "again: 2, 7079 updates lost")],
)
def test_updates_that_a_restart_lost_are_told(lost: int | None, note: str) -> None:
    report = msgspec.structs.replace(epoch_report(1, last=False), lost_updates=lost)
    if "again" in note:
        report = msgspec.structs.replace(report, called_again=[2])
    assert epoch_note(report) == note


def test_the_accuracy_of_few_classes_is_shown_within_80_columns() -> None:
    def lines(n_classes: int) -> list[str]:
        shares = (ClassQuality(label, 0.5, label / 20, 0.5, 1) for label in range(n_classes))
        return accuracy_lines(list(shares))

    assert lines(3) == ["  per-class accuracy: 0: 0.0000, 1: 0.0500, 2: 0.1000"]
    assert max(map(len, lines(20))) <= 80
    assert " ".join(lines(20)).count(": 0.") == 20
    assert lines(2) == lines(21) == []
