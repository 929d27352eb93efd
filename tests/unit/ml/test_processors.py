"""A job has the same losses, to the last bit, on every processor that a function may run on."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from tests.support.paths import ROOT
from tests.unit.deployment.test_deployment_contract import template

# What the oldest processor of Lambda on x86_64 has: AVX2.
BASELINE = {"x86_64": {"X86_V3"}}
FOUND = np.show_config(mode="dicts")["SIMD Extensions"].get("found", [])
BEYOND = [name for name in FOUND if name not in BASELINE.get(platform.machine(), set())]
LOSSES = """
from stepml.job.algorithms import ModelAveraging
from stepml.job.models import LinearRegression, LogisticRegression, SoftmaxRegression, Svm
from tests.support.learning import Orchestra, job_of, rows

X, y = rows(6000, 13)
y[X[:, 0] < 1] = 0  # the classes have weights
for model in (
    LogisticRegression(class_weight="balanced"),
    LogisticRegression(),
    SoftmaxRegression(class_weight="balanced"),
    LinearRegression(),
    Svm(),
):
    trained = Orchestra(job_of(model, ModelAveraging()), X, y, shards=2)
    trained.epochs(5)
    evaluation = trained.model.evaluate(40 * trained.state.parameters, X, trained.model.targets(y))
    print([float(each.training_loss).hex() for each in trained.outcomes], evaluation)
"""


def losses(variables: dict[str, str]) -> str:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **variables}
    command = [sys.executable, "-c", LOSSES]
    done = subprocess.run(
        command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def of_this_processor(value: Any) -> str:
    """Return the value of a variable; some are chosen by the architecture."""
    if isinstance(value, str):
        return value
    condition, arm, other = value["If"]
    assert condition == "IsArm"
    return str(arm if platform.machine() == "aarch64" else other)


@pytest.mark.skipif(not BEYOND, reason="NumPy uses no instructions beyond AVX2 on this processor")
def test_instructions_that_not_every_processor_has_change_no_loss() -> None:
    given = template()["Globals"]["Function"]["Environment"]["Variables"]
    chosen = {
        name: of_this_processor(value)
        for name, value in given.items()
        if name.startswith(("OPENBLAS_", "NPY_"))
    }
    oldest = chosen | {"NPY_DISABLE_CPU_FEATURES": " ".join(BEYOND)}
    assert losses(chosen) == losses(oldest)
