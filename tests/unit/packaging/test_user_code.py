"""The zip file of a user's own network: its files, and what is refused before it is sent."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path

import pytest

from stepml.job.errors import InvalidCodeError
from stepml.packaging.user_code import packed_code


def written(directory: Path, *names: str) -> Path:
    for name in names:
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"# {name}")
    return directory


def test_caches_hidden_files_and_environments_stay_at_home(tmp_path: Path) -> None:
    code = written(
        tmp_path / "code",
        *("net.py", "layers/conv.py", "layers/sizes.json", "Makefile"),
        *(".git/config", ".env", "layers/__pycache__/conv.cpython-311.pyc", "old.pyc"),
        *("node_modules/x.py", "runs/a/model.json", "venv/pyvenv.cfg", "venv/lib/x.py"),
    )
    packed = packed_code(code)
    assert set(packed.names) == {"Makefile", "layers/conv.py", "layers/sizes.json", "net.py"}


def test_equal_files_have_equal_zip_files(tmp_path: Path) -> None:
    first = written(tmp_path / "first", "net.py", "a/b.py")
    second = written(tmp_path / "second", "a/b.py", "net.py")
    os.utime(second / "net.py", (1, 1))
    assert packed_code(first).digest == packed_code(second).digest
    (second / "net.py").write_text("# other")
    assert packed_code(first).digest != packed_code(second).digest


def test_a_file_is_packed_alone_and_a_zip_file_stays_as_it_is(tmp_path: Path) -> None:
    written(tmp_path, "net.py", "other.py")
    packed = packed_code(tmp_path / "net.py")
    assert packed.names == ("net.py",)
    (tmp_path / "net.zip").write_bytes(packed.archive)
    assert packed_code(tmp_path / "net.zip") == packed


def test_a_link_to_a_file_is_packed_as_the_file_and_one_to_a_folder_is_not(tmp_path: Path) -> None:
    written(tmp_path, "code/net.py", "shared/layers.py")
    (tmp_path / "code" / "layers.py").symlink_to(tmp_path / "shared" / "layers.py")
    (tmp_path / "code" / "loop").symlink_to(tmp_path / "code")
    (tmp_path / "code" / "broken.py").symlink_to(tmp_path / "nothing")
    packed = packed_code(tmp_path / "code")
    assert packed.names == ("layers.py", "net.py")
    with zipfile.ZipFile(io.BytesIO(packed.archive)) as opened:
        assert opened.read("layers.py") == b"# shared/layers.py"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("nothing", "^code: '.*nothing' cannot be read: No such file or directory"),
        ("text.txt", "^code: expected a directory, a .zip or a .py file, got '.*text.txt'"),
        ("text.zip", "^code: expected a zip file: File is not a zip file"),
    ],
)
def test_other_things_are_refused_by_name(name: str, expected: str, tmp_path: Path) -> None:
    written(tmp_path, "text.txt", "text.zip")
    with pytest.raises(InvalidCodeError, match=expected):
        packed_code(tmp_path / name)


def test_a_folder_of_data_is_refused_before_it_is_read(tmp_path: Path) -> None:
    code = written(tmp_path, "net.py")
    with (code / "rows.bin").open("wb") as file:
        file.truncate(2**40)  # a file with a hole, which takes no room
    with pytest.raises(InvalidCodeError, match=r"the largest file is rows\.bin$"):
        packed_code(code)


def test_the_module_of_the_entry_point_is_looked_for_before_anything_is_sent(
    tmp_path: Path,
) -> None:
    packed = packed_code(written(tmp_path, "net.py", "nets/__init__.py", "nets/conv/deep.py"))
    for entry_point in ("net:f", "nets:f", "nets.conv.deep:f"):
        packed.require_module(entry_point)
    with pytest.raises(InvalidCodeError, match=r"'nets.conv.flat' in the code, as nets/conv/f"):
        packed.require_module("nets.conv.flat:f")
    with pytest.raises(InvalidCodeError, match=r"it has net\.py, nets/__init__\.py, nets/conv"):
        packed.require_module("ne:f")


@pytest.mark.parametrize("name", ["random", "stepml", "numpy"])
def test_a_module_that_functions_would_not_import_is_refused_before_anything_is_sent(
    tmp_path: Path, name: str
) -> None:
    packed = packed_code(written(tmp_path, f"{name}.py", f"robust/{name}.py"))
    packed.require_module(f"robust.{name}:f")
    with pytest.raises(InvalidCodeError, match=f"^algorithm.entry_point: '{name}' is a module of"):
        packed.require_module(f"{name}:f", "algorithm.entry_point")
