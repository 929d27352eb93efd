"""Functions with torch load it at their cold start, and little else."""

from __future__ import annotations

import os
import subprocess
import sys

from lambdas.entry import MODULES_VARIABLE
from stepml.job.function_kinds import FUNCTION_KINDS
from tests.support.paths import ROOT
from tests.support.torch import torch  # noqa: F401 - skips where it is absent

# Each takes as long as torch itself, or more.
SLOW = ("sympy", "torch._dynamo", "torch._inductor", "torch.onnx", "torchvision")
TRAINED = """
import numpy as np
from stepml.job.models import Neural
from stepml.ml.models import build_model
spec = Neural(network="mobilenet", input_shape=(1, 8, 8))
model = build_model(spec, 64, (0.0, 1.0))
w, X = model.initial_parameters(), np.ones((4, 64), np.float32)
model.gradient(w, X, model.targets(np.array([0, 1, 0, 1], np.float32)), np.empty_like(w))
"""


def test_a_function_with_torch_loads_nothing_slow_and_starts_no_thread() -> None:
    (kind,) = FUNCTION_KINDS.values()
    code = (
        "import gc, os, sys, lambdas.executor\n"
        "assert gc.isenabled() and 'torch' in sys.modules\n"
        "assert len(os.listdir('/proc/self/task')) == 1  # the local AWS forks it\n"
        f"{TRAINED}\nprint([name for name in {SLOW} if name in sys.modules])"
    )
    environment = {
        **os.environ,
        **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"),
        MODULES_VARIABLE: ",".join(kind.modules),
    }
    command = [sys.executable, "-c", code]
    ran = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert (ran.returncode, ran.stdout.strip()) == (0, "[]"), ran.stderr
