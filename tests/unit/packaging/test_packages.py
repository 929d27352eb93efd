"""The files and the size limits of packages."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from stepml.packaging.building import PackageTooLargeError, make_uniform, require_size
from stepml.packaging.packages import FUNCTION_PACKAGES, SERVER_PACKAGE, Package
from stepml.packaging.sources import files_below


def test_compiled_files_and_what_tests_alone_use_are_left_out(tmp_path: Path) -> None:
    for name in ("app.py", "__pycache__/app.pyc", "storage/s3.py", "storage/testing/memory.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert sorted(files_below(tmp_path)) == ["app.py", "storage/s3.py"]


@pytest.mark.parametrize("name", FUNCTION_PACKAGES)
def test_functions_have_our_files_and_the_server_has_no_functions(name: str) -> None:
    files = FUNCTION_PACKAGES[name].files()
    assert {"lambdas/executor.py", "stepml/__init__.py", "storage/base.py"} <= files.keys()
    server = SERVER_PACKAGE.files()
    shared = {each for each in files if not each.startswith("lambdas/")}
    assert server.keys() - shared == {"templates/parameter-server.service"}
    assert shared <= server.keys()


def test_a_package_that_is_too_large_is_refused(tmp_path: Path) -> None:
    (tmp_path / "library").mkdir()
    (tmp_path / "library" / "code.so").write_bytes(bytes(3 * 2**20))
    require_size(Package(sources=(), requirements=(), max_mb=3), tmp_path)
    with pytest.raises(PackageTooLargeError, match="has 3 MB, but at most 2 MB"):
        require_size(Package(sources=(), requirements=(), max_mb=2), tmp_path)


def test_a_package_can_be_read_by_everybody_and_its_zip_depends_on_contents_alone(
    tmp_path: Path,
) -> None:
    zips = []
    for name, mode in (("careful", 0o700), ("usual", 0o755)):
        (tmp_path / name / "library").mkdir(parents=True)
        (tmp_path / name / "library").chmod(mode)
        for file in ("run", "code.py"):
            (tmp_path / name / "library" / file).write_text(file)
            (tmp_path / name / "library" / file).chmod(mode if file == "run" else mode & 0o666)
        make_uniform(tmp_path / name)
        zips.append(Path(shutil.make_archive(str(tmp_path / name), "zip", tmp_path / name)))
    assert zips[0].read_bytes() == zips[1].read_bytes()
    folder = tmp_path / "careful" / "library"
    modes = [path.stat().st_mode & 0o777 for path in (folder, folder / "run", folder / "code.py")]
    assert modes == [0o755, 0o755, 0o644]
