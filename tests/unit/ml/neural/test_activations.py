"""The memory of activations: measured in the checks, bounded in evaluations."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from stepml.job import networks
from stepml.job.models import Neural
from tests.support.paths import ROOT
from tests.support.torch import torch  # before the modules that need it

from stepml.ml.neural.bound import BoundNetwork  # isort: skip
from stepml.ml.neural.checks import check_network  # isort: skip
from stepml.ml.neural.losses import loss_named  # isort: skip

FLOAT = 4


def test_the_activations_of_a_row_are_measured() -> None:
    """They are the input, the hidden layer, and what the loss saves: outputs and target."""
    checked = check_network(Neural(network=networks.Mlp(hidden=(80,))), (60,), 30)
    least = FLOAT * (60 + 80 + 30)
    assert least <= checked.saved_row_bytes <= least + 40


def test_views_are_counted_once_and_parameters_not_at_all() -> None:
    wide = check_network(Neural(network=networks.Mlp(hidden=(10_000,))), (4, 5), 2)
    assert wide.layout.n_parameters > 100_000
    assert FLOAT * 10_000 < wide.saved_row_bytes < FLOAT * 10_100


class Wide(torch.nn.Module):
    """Has outputs of 1 MB for each row, which take no memory, and notes how many rows it gets."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(4, 3)
        self.wide = torch.nn.Identity()
        self.seen: list[int] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.seen.append(len(x))
        self.wide(x[:, :1].expand(len(x), 2**18))
        return self.layer(x)


def test_an_evaluation_takes_as_many_rows_at_once_as_memory_allows() -> None:
    module = Wide()
    network = BoundNetwork(module, loss_named("cross_entropy"), (4,))
    w, X = network.parameters, np.ones((300, 4), np.float32)
    outputs = [each.shape for each in network.output_blocks(w, X)]
    assert outputs == [(128, 3), (128, 3), (44, 3)]
    assert module.seen == [1, 128, 128, 44]
    assert [len(each) for each in network.output_blocks(w, X, first=128)] == [128, 44]


GROWTH = """
import numpy as np
from benchmarks.neural_processes import peak_kb
from benchmarks.neural_race import images, network_of
from stepml.job import networks
model = network_of(networks.Mobilenet(width=0.25))
w = model.initial_parameters()
for rows in (8, 8, 256):
    X, y = images(rows, seed=0)
    model.gradient(w, X, model.targets(y.astype(np.float32)), np.empty_like(w))
    print(peak_kb())
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks /proc")
def test_a_step_takes_the_memory_that_is_foretold() -> None:
    """Beyond libraries and parameters: 248 more rows in a batch.

    By default, what glibc's allocator keeps of freed blocks differs between runs, by up to half of
    the activations. So blocks are given back at once here.
    """
    command = [sys.executable, "-c", GROWTH]
    fixed = os.environ | {"MALLOC_MMAP_THRESHOLD_": str(2**17), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True, env=fixed)
    _, before, after = (1024 * int(line) for line in done.stdout.split())
    checked = check_network(Neural(network=networks.Mobilenet(width=0.25)), (1, 28, 28), 10)
    foretold = 248 * checked.saved_row_bytes
    assert 0.9 * foretold < after - before < 1.1 * foretold
