"""Code that was sent comes before a package of its name that is installed here."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from stepml.job.errors import InvalidCodeError
from stepml.ml.own.code import imported_function
from stepml.ml.own.finder import RESERVED
from tests.support.own_code import write_code
from tests.support.paths import ROOT

SENT = {"shared_name/__init__.py": "", "shared_name/losses.py": "def loss():\n    return 'sent'\n"}


def test_an_installed_package_does_not_take_the_place_of_the_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_code(tmp_path / "installed", {**SENT, "shared_name/losses.py": "broken ="})
    monkeypatch.syspath_prepend(tmp_path / "installed")
    write_code(tmp_path / "code", SENT)
    assert imported_function(tmp_path / "code", "shared_name.losses:loss")() == "sent"
    write_code(tmp_path / "other", {**SENT, "shared_name/losses.py": "def loss():\n    return 2\n"})
    assert imported_function(tmp_path / "other", "shared_name.losses:loss")() == 2


def test_a_module_that_is_imported_already_is_used_only_if_it_is_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {"imported_name.py": "def loss():\n    return 1\n"}
    write_code(tmp_path / "installed", files)
    monkeypatch.syspath_prepend(tmp_path / "installed")
    __import__("imported_name")
    monkeypatch.setitem(sys.modules, "imported_name", sys.modules["imported_name"])
    write_code(tmp_path / "code", files)
    assert imported_function(tmp_path / "code", "imported_name:loss")() == 1
    write_code(tmp_path / "other", {"imported_name.py": "def loss():\n    return 2\n"})
    with pytest.raises(InvalidCodeError, match="is a module of Python, StepML or a library"):
        imported_function(tmp_path / "other", "imported_name:loss")


def test_libraries_of_functions_keep_their_names() -> None:
    lines = "\n".join(each.read_text() for each in (ROOT / "lambdas").glob("requirements*.txt"))
    names = {each.partition(".")[0] for each in re.findall(r"^[a-z][a-z0-9.]+", lines, re.M)}
    assert names - {"backports"} <= RESERVED
