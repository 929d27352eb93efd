"""Code of users in a step: losses, transforms, random numbers, state."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stepml.job.errors import InvalidNetworkError
from stepml.job.models import Neural
from stepml.ml.models import build_model
from stepml.ml.models.base import Draws, LabelUnit
from stepml.ml.own.code import unpack
from tests.support.own_code import archive
from tests.support.torch import torch  # before the modules that need it

from stepml.ml.neural.checks import check_network  # isort: skip

CLASSES = (0.0, 1.0, 2.0)
BINARY, NUMBERS = "binary_cross_entropy", "mean_squared_error"


@pytest.fixture(autouse=True)
def _own_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))


def built(source: str, labels: Any = CLASSES, **fields: Any) -> Any:
    spec = Neural(entry_point="own:network", **fields)
    return build_model(spec, 6, labels, None, LabelUnit(), code=unpack(archive({"own.py": source})))


def refusal(source: str) -> str:
    with pytest.raises(InvalidNetworkError) as caught:
        check_network(Neural(entry_point="own:network"), (6,), 3, built(source).code)
    return str(caught.value)


def rows(n: int) -> Any:
    return np.random.default_rng(0).normal(size=(n, 6)).astype(np.float32)


def test_a_slice_without_rows_does_not_reach_the_network() -> None:
    """torch refuses such a view of no rows."""
    model = built(
        "from torch import nn\nclass Net(nn.Linear):\n    def forward(self, x):\n"
        "        return super().forward(x.view(x.size(0), -1))\n"
        "def network():\n    return Net(6, 3)\n"
    )
    w, X, y = model.initial_parameters(), rows(5), np.zeros(5, np.int32)
    sums = model.tally(w, X[:0], y[:0])
    assert not sums.any()
    assert model.judged(sums + model.tally(w, X, y)) == model.evaluate(w, X, y)


def test_a_loss_may_change_the_outputs_in_place() -> None:
    model = built(
        "from torch import nn\ndef loss(outputs, targets):\n"
        "    return nn.functional.binary_cross_entropy(outputs.sigmoid_()[:, 0], targets)\n"
        "def network():\n    return nn.Linear(6, 1), loss\n",
        (0.0, 1.0),
        loss=BINARY,
    )
    w, X = model.initial_parameters(), rows(50)
    y = (model.outputs(w, X)[:, 0] > 0).astype(np.int32)
    assert model.evaluate(w, X, y).metrics["accuracy"] == 1


def test_a_loss_may_change_the_targets_in_place() -> None:
    model = built(
        "from torch import nn\ndef loss(outputs, targets):\n"
        "    return (outputs[:, 0] - targets.sub_(100)).square().mean()\n"
        "def network():\n    return nn.Linear(6, 1), loss\n",
        None,
        loss=NUMBERS,
    )
    w = model.initial_parameters()
    targets = np.arange(4, dtype=np.float32)
    model.gradient(w, rows(4), targets, np.empty_like(w))
    assert targets.tolist() == [0, 1, 2, 3]


def test_an_error_of_a_loss_in_validation_has_its_line() -> None:
    model = built(
        "from torch import nn\ndef loss(outputs, targets):\n"
        "    return outputs.view(2, -1).sum()\n"
        "def network():\n    return nn.Linear(6, 3), loss\n"
    )
    with pytest.raises(InvalidNetworkError, match=r"own:network: own\.py:3: RuntimeError: "):
        model.evaluate(model.initial_parameters(), rows(5), np.zeros(5, np.int32))


@pytest.mark.parametrize("draw", ["np.random.rand()", "random.random()", "torch.rand(())"])
def test_a_transform_draws_the_same_numbers_again(draw: str) -> None:
    model = built(
        "import random\nimport numpy as np\nimport torch\nfrom torch import nn\n"
        f"def network():\n    return nn.Linear(6, 3), None, lambda x: x * float({draw})\n"
    )
    w, X, y = model.initial_parameters(), rows(5), np.zeros(5, np.int32)

    def gradient(batch: int) -> bytes:
        out = np.empty_like(w)
        model.batch_gradient(w, X, y, out, Draws(1, 2, 3, 0), batch, 0)
        return out.tobytes()

    first = gradient(1)
    torch.manual_seed(7)
    assert gradient(1) == first
    assert gradient(2) != first


COUNTING = """
from torch import nn
class Net(nn.Linear):
    n_steps = 0
    def forward(self, x):
        self.n_steps += self.training
        return super().forward(x) / (1 + self.n_steps)
def network():
    return Net(6, 3)
"""


@pytest.mark.parametrize(
    "source",
    [
        COUNTING,
        "from torch import nn\ndef network():\n"
        "    return nn.Sequential(nn.Linear(6, 3), nn.BatchNorm1d(3, momentum=None))\n",
        "import numpy as np\nfrom torch import nn\nDRAWN = np.random.default_rng(0)\n"
        "def network():\n    return nn.Linear(6, 3), None, lambda x: x * DRAWN.random()\n",
    ],
    ids=["count", "mean of all batches", "generator"],
)
def test_a_network_that_other_functions_cannot_continue_is_refused(source: str) -> None:
    assert "two steps from the same parameters with the same seed differ" in refusal(source)


@pytest.mark.parametrize(
    "source",
    [
        "from torch import nn\ndef network():\n"
        "    return nn.Sequential(nn.Linear(6, 3), nn.BatchNorm1d(3), nn.Dropout(0.5))\n",
        "from torch import nn\ndef network():\n"
        "    return nn.utils.parametrizations.spectral_norm(nn.Linear(6, 3))\n",
        "import torch\nfrom torch import nn\ndef network(input_shape):\n"
        "    made = nn.LazyLinear(3)\n    made(torch.zeros(1, *input_shape))\n    return made\n",
    ],
    ids=["statistics and dropout", "power iteration", "lazy, but called"],
)
def test_a_network_that_keeps_what_it_knows_in_tensors_passes(source: str) -> None:
    check_network(Neural(entry_point="own:network"), (6,), 3, built(source).code)


def test_a_lazy_layer_is_named() -> None:
    message = refusal("from torch import nn\ndef network():\n    return nn.LazyLinear(3)\n")
    assert message.startswith("parameter weight: expected a shape, got none, as in a lazy layer")


def test_a_module_that_is_kept_for_the_next_call_is_refused() -> None:
    message = refusal(
        "from functools import cache\nfrom torch import nn\n"
        "@cache\ndef network():\n    return nn.Linear(6, 3)\n"
    )
    assert "expected a function that makes new tensors in each call" in message


MASKED = """
import torch
from torch import nn
class Net(nn.Linear):
    def __init__(self, **options):
        super().__init__(6, 3)
        self.register_buffer("mask", torch.tensor([0, 0, float("-inf")]).double().KIND(), **options)
    def forward(self, x):
        return super().forward(x) + torch.exp(self.mask)
def network(**options):
    return Net(PERSISTENT)
"""


@pytest.mark.parametrize("kind", ["float", "double"])
def test_a_constant_that_no_state_has_is_made_with_the_module(kind: str) -> None:
    source = MASKED.replace("KIND", kind).replace("PERSISTENT", "persistent=False")
    model = built(source.replace("torch.exp(self.mask)", "torch.exp(self.mask).float()"))
    check_network(model.spec, (6,), 3, model.code)
    w, X = model.initial_parameters(), rows(4)
    module = model.module(w, None)
    module.network.load_state_dict(
        {name: torch.from_numpy(each.copy()) for name, each in model.arrays(w).items()}
    )
    with torch.inference_mode():
        assert np.array_equal(module(torch.from_numpy(X)).numpy(), model.outputs(w, X))


KEEPING = """
import torch
from torch import nn
class Net(nn.Linear):
    def __init__(self):
        super().__init__(6, 3)
        self.register_buffer("kept", VALUE)
    def get_extra_state(self):
        return 3
def network():
    return Net()
"""


@pytest.mark.parametrize(
    ("value", "got"),
    [
        ("torch.arange(6)", "kept: expected float32, got int64 of shape (6,)"),
        ("torch.ones(6) > 0", "kept: expected float32, got bool of shape (6,)"),
        ("torch.ones(6)", "_extra_state: expected float32, got int"),
    ],
)
def test_a_state_that_a_trained_model_would_lack_is_refused(value: str, got: str) -> None:
    assert refusal(KEEPING.replace("VALUE", value)) == (
        f"buffer {got}, which a trained model would lack; if it is a constant, such as an index "
        "or a mask, register it with persistent=False"
    )


def test_tensors_with_two_names_and_counters_of_batches_are_no_such_state() -> None:
    source = """
from torch import nn
class Net(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Linear(6, 6), nn.BatchNorm1d(6), nn.Linear(6, 6), nn.Linear(6, 3))
        self[2].weight = self[0].weight
def network():
    return Net()
"""
    check_network(Neural(entry_point="own:network"), (6,), 3, built(source).code)


def test_a_state_with_infinite_constants_is_refused() -> None:
    message = refusal(MASKED.replace("KIND", "float").replace("PERSISTENT", ""))
    assert message == (
        "buffer mask: expected finite numbers, got others; if it is a constant, such as a mask, "
        "register it with persistent=False"
    )
