"""A package is built again only if something of it has changed."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

from stepml.deployment.libraries import WithLibraries, fingerprint
from stepml.packaging.building import for_functions
from stepml.packaging.packages import FUNCTION_PACKAGES
from stepml.packaging.sources import constraints_path, resource_root

CODE = FUNCTION_PACKAGES["code"]


def test_equal_packages_have_equal_fingerprints_and_others_do_not() -> None:
    options = for_functions()
    assert fingerprint(CODE, options) == fingerprint(CODE, for_functions())
    others = [
        fingerprint(FUNCTION_PACKAGES["code-parquet"], options),
        fingerprint(CODE, for_functions("arm64")),
        fingerprint(CODE, for_functions(python_version="3.13")),
    ]
    assert len({fingerprint(CODE, options), *others}) == 4


def test_a_finished_package_is_not_built_again(tmp_path: Path) -> None:
    path = tmp_path / f"code-{fingerprint(CODE, for_functions())}.zip"
    path.write_bytes(b"finished")
    assert WithLibraries(tmp_path).archive(resource_root() / "code") == b"finished"


def test_a_folder_of_files_is_packed_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "handler.py").write_text("x = 1")
    archive = WithLibraries(tmp_path / "cache").archive(tmp_path)
    assert zipfile.ZipFile(io.BytesIO(archive)).namelist() == ["handler.py"]


def test_the_versions_of_libraries_are_there_for_a_deployment() -> None:
    assert "numpy==" in constraints_path().read_text()
