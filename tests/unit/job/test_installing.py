"""The command that installs an optional library fits the installation of StepML."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

from stepml.job.installing import install_command
from tests.support.paths import ROOT

METADATA = """Metadata-Version: 2.4
Name: stepml
Version: 9.0
Requires-Dist: boto3>=1.40
Provides-Extra: local
Requires-Dist: moto[s3]==5; extra == 'local'
Requires-Dist: stepml[server]; extra == 'local'
Provides-Extra: parquet
Requires-Dist: pyarrow>=20; extra == "parquet"
Provides-Extra: torch
Requires-Dist: torch>=2.4; extra == 'torch'
Provides-Extra: server
Requires-Dist: thrift>=0.22; extra == 'server'
"""


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The metadata of an installed StepML, which is found before the one under test."""
    directory = tmp_path / "stepml-9.0.dist-info"
    directory.mkdir()
    (directory / "METADATA").write_text(METADATA)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "executable", "/opt/venv/bin/python")
    return directory


def test_in_a_checkout_it_is_installed_with_the_extra(installed: Path) -> None:
    origin = {"url": "file:///home/my%20me/stepml", "dir_info": {"editable": True}}
    (installed / "direct_url.json").write_text(json.dumps(origin))

    command = install_command("parquet")

    assert command == "/opt/venv/bin/pip install -e '/home/my me/stepml[parquet]'"


@pytest.mark.parametrize("origin", [None, {"url": "file:///tmp/x.whl", "archive_info": {}}])
def test_from_a_wheel_the_libraries_are_installed(
    installed: Path, origin: dict[str, object] | None
) -> None:
    if origin is not None:
        (installed / "direct_url.json").write_text(json.dumps(origin))

    assert install_command("parquet") == "/opt/venv/bin/pip install 'pyarrow>=20'"
    assert install_command("local") == "/opt/venv/bin/pip install 'moto[s3]==5' 'thrift>=0.22'"


def test_torch_comes_from_the_index_of_builds_for_cpus(installed: Path) -> None:
    index = "https://download.pytorch.org/whl/cpu"
    assert install_command("torch") == (
        f"/opt/venv/bin/pip install --extra-index-url {index} 'torch>=2.4'"
    )
    assert re.search(rf"^TORCH_INDEX \?= {index} ", (ROOT / "Makefile").read_text(), re.M)
