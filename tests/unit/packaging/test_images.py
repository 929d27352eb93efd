"""The folders of container images; `make torch-trial` builds one with its libraries."""

from __future__ import annotations

import shutil
import subprocess
from fnmatch import fnmatch
from importlib.metadata import files
from pathlib import Path

import pytest

from stepml.job.function_kinds import FUNCTION_KINDS
from stepml.packaging.images import IMAGES, load
from tests.support.torch import torch  # noqa: F401 - skips where it is absent


def test_a_package_without_its_libraries_cannot_be_loaded(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for name, source in IMAGES["code-torch"].files().items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, tmp_path / name)
    with pytest.raises(subprocess.CalledProcessError):
        load(FUNCTION_KINDS["torch"], tmp_path)
    assert "ModuleNotFoundError: No module named 'numpy'" in capfd.readouterr().err


def test_files_that_torch_loads_are_not_left_out() -> None:
    patterns = IMAGES["code-torch"].left_out
    names = [str(path) for path in files("torch") or ()]
    kept = {name for name in names if not any(fnmatch(name, pattern) for pattern in patterns)}
    # Without the first, `import torch` fails.
    assert {"torch/bin/torch_shm_manager", "torch/lib/libtorch_cpu.so", "torch/nn/init.py"} <= kept
    assert {"torch/bin/test_api", "torch/bin/protoc"} & kept == set()
