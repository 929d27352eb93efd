"""docs/studies.md has the fields, the columns and an example that the code takes."""

from __future__ import annotations

import re

import msgspec
import pytest

from stepml.studies.baselines.kinds import BASELINES
from stepml.studies.cells import cells_of
from stepml.studies.definition import StudyFile, parse_study
from stepml.studies.prices import BOOT_S
from stepml.studies.table import COLUMNS
from tests.support.paths import ROOT

PAGE = (ROOT / "docs" / "studies.md").read_text()
NAMED = set(re.findall(r"`([\w-]+)`", PAGE))
FIELDS = [field.name for field in msgspec.structs.fields(StudyFile)]


@pytest.mark.parametrize("name", [*FIELDS, *COLUMNS, *BASELINES])
def test_the_page_names_it(name: str) -> None:
    assert name in NAMED


def test_its_example_is_a_study() -> None:
    (example,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    cells = cells_of(parse_study(example.encode(), "digits"))
    assert len(cells) == 2 * 2 * 2 * 3 + 1 + 2 * 3
    assert all(cell.refusal is None for cell in cells)


def test_the_start_of_a_vm_is_that_of_the_page() -> None:
    assert f"{BOOT_S:g} s" in PAGE
