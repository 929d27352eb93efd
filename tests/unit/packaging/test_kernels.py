"""Compiling the native kernels."""

from __future__ import annotations

import platform
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from stepml.ml.kernels.native import library_path, load_kernel
from stepml.packaging.kernels import built
from stepml.packaging.packages import FUNCTION_PACKAGES

HERE = (sys.platform, platform.machine())


@pytest.mark.skipif(not shutil.which("cc"), reason="there is no cc")
def test_a_kernel_is_compiled_once_and_replaces_older_versions(tmp_path: Path) -> None:
    path = library_path(*HERE, tmp_path)
    older = path.with_name(f"clusters-{HERE[0]}-{HERE[1]}-0123456789ab.so")
    other = path.with_name("clusters-linux-other-0123456789ab.so")
    older.touch()
    other.touch()
    assert built(*HERE, tmp_path).endswith(f"{path.name}, by cc")
    assert {each.name for each in tmp_path.iterdir()} == {path.name, other.name}
    first = path.stat().st_mtime_ns
    assert load_kernel(path) is not None
    assert built(*HERE, tmp_path).endswith(path.name)
    assert path.stat().st_mtime_ns == first


def test_without_a_compiler_the_line_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    line = built("plan9", "vax", tmp_path)
    assert line.startswith("Native k-means for plan9 on vax: none, so NumPy computes the same")
    assert "a C compiler (cc), or ziglang" in line
    assert not [*tmp_path.iterdir()]


@pytest.mark.skipif(find_spec("ziglang") is not None, reason="ziglang compiles")
def test_a_compiler_that_fails_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("cc", "gcc", "clang"):
        compiler = tmp_path / "bin" / name
        compiler.parent.mkdir(exist_ok=True)
        compiler.write_text("#!/bin/sh\nexit 1\n")
        compiler.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}")
    folder = tmp_path / "kernels"
    folder.mkdir()
    assert "none" in built(*HERE, folder)
    assert not [*folder.iterdir()]


def test_a_library_that_does_not_load_is_as_good_as_none(tmp_path: Path) -> None:
    assert load_kernel(tmp_path / "absent.so") is None
    (tmp_path / "cut.so").write_bytes(b"\x7fELF")
    assert load_kernel(tmp_path / "cut.so") is None


@pytest.mark.parametrize("name", FUNCTION_PACKAGES)
def test_functions_have_the_kernels_of_this_machine(name: str) -> None:
    files = FUNCTION_PACKAGES[name].files()
    assert "stepml/ml/kernels/clusters.c" in files  # it names the version
    path = library_path(*HERE)
    assert (f"stepml/ml/kernels/{path.name}" in files) == path.exists()
