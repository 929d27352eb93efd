"""Networks of the user's own: their code, what it may return, and the line of each error."""

from __future__ import annotations

import io
import stat
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from threading import Barrier
from typing import Any

import numpy as np
import pytest

from stepml.job import networks
from stepml.job.errors import InvalidCodeError, InvalidNetworkError, ModelTooLargeError
from stepml.job.models import Neural
from stepml.ml.models import NeuralClassifier, build_model
from stepml.ml.own.code import MOST_PACKED_BYTES, digest_of, directory_of, unpack
from tests.support.own_code import archive
from tests.support.torch import torch  # before the modules that need it

from stepml.ml.neural.building import bound_network  # isort: skip
from stepml.ml.neural.checks import check_network  # isort: skip

LINEAR = """
from torch import nn

def network(input_shape, n_outputs, width=4):
    (n,) = input_shape
    return nn.Sequential(nn.Linear(n, width), nn.ReLU(), nn.Linear(width, n_outputs))
"""


@pytest.fixture(autouse=True)
def _own_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))


def spec(entry_point: str = "own:network", **fields: Any) -> Neural:
    return Neural(entry_point=entry_point, **fields)


def check(source: str, *, n_outputs: int = 3, known: bool = True, **fields: Any) -> None:
    code = unpack(archive({"own.py": source}))
    check_network(spec(**fields), (6,), n_outputs, code, outputs_are_known=known)


def refusal(source: str, **fields: Any) -> str:
    with pytest.raises(InvalidCodeError) as caught:
        check(source, **fields)
    return str(caught.value)


def test_a_function_gets_shape_outputs_and_options() -> None:
    check(LINEAR, options={"width": 7})
    code = unpack(archive({"own.py": LINEAR}))
    bound = bound_network(spec(options={"width": 7}), (6,), 3, None, code, seed=0)
    assert [tensor.shape for tensor in bound.layout.trained] == [(7, 6), (7,), (3, 7), (3,)]
    assert refusal(LINEAR, options={"depth": 7}).startswith(
        "model.entry_point: own:network: TypeError: network() got an unexpected keyword argument "
        "'depth'"
    )


def test_a_function_need_not_take_what_it_does_not_use() -> None:
    check("from torch import nn\ndef network():\n    return nn.Linear(6, 3)\n")
    check(
        "from torch import nn\ndef network(**given):\n    return nn.Linear(6, given['n_outputs'])"
    )


def test_the_first_parameters_follow_from_the_seed() -> None:
    code = unpack(archive({"own.py": LINEAR}))
    first, again, other = (
        bound_network(spec(), (6,), 3, None, code, seed).parameters for seed in (1, 1, 2)
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_random_numbers_of_numpy_and_python_follow_from_the_seed_as_well() -> None:
    check(
        "import random\nimport numpy as np\nfrom torch import nn\n"
        "def network():\n"
        "    made = nn.Linear(6, 3)\n"
        "    nn.init.constant_(made.weight, random.random() + np.random.rand())\n"
        "    return made\n"
    )


NORMALISING = """
from torch import nn

def network(input_shape, n_outputs):
    return nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, n_outputs))
"""


def test_batches_of_one_row_train_all_layers() -> None:
    code = unpack(archive({"own.py": NORMALISING}))
    bound = bound_network(spec(), (6,), 3, None, code, seed=0)
    w, out = bound.parameters, np.empty_like(bound.parameters)
    for row in range(3):
        bound.gradient(w, torch.full((1, 6), float(row + 1)), torch.tensor([row]), out)
        tensors = bound.layout.arrays(out)
        assert tensors["0.weight"].any()
        assert not tensors["1.running_var"].any()
        w -= np.float32(0.1) * out


LOSS = """
import torch
from torch import nn

def network(input_shape, n_outputs):
    def loss(outputs, targets):
        assert targets.dtype == torch.int64, targets.dtype
        return 2 * nn.functional.cross_entropy(outputs, targets)
    return nn.Linear(6, n_outputs), loss, lambda x: torch.zeros_like(x)
"""


def test_a_loss_replaces_that_of_the_job_and_a_transform_changes_rows_in_training_alone() -> None:
    check(LOSS)
    code = unpack(archive({"own.py": LOSS}))
    model = build_model(spec(), 6, [0.0, 1.0, 2.0], code=code)
    assert isinstance(model, NeuralClassifier)
    X, y = np.eye(6, dtype=np.float32), model.targets(np.zeros(6, np.float32))
    w, out = model.initial_parameters(), np.empty(21, np.float32)
    bias = torch.from_numpy(w[18:])
    loss = model.gradient(w, X, y, out)
    assert loss == pytest.approx(2 * (bias.logsumexp(0) - bias[0]).item(), rel=1e-5)
    assert not out[:18].any()  # rows are zeros
    outputs = X @ w[:18].reshape(3, 6).T + w[18:]
    assert np.allclose(model.outputs(w, X), outputs, atol=1e-6)
    expected = torch.nn.functional.cross_entropy(
        torch.from_numpy(outputs), torch.from_numpy(y).long()
    )
    assert model.evaluate(w, X, y).loss == pytest.approx(2 * expected.item(), rel=1e-5)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("x = 1\nraise ValueError('no\\n luck')\n", "own:network: own.py:2: ValueError: no luck"),
        ("def network(:\n", "own:network: own.py:1: SyntaxError: "),
        ("import sys\nsys.exit(3)\n", "own:network: own.py:2: SystemExit: 3"),
        ("import nothing_of_this\n", "own:network: own.py:1: ModuleNotFoundError: "),
        ("def net():\n    pass\n", "module 'own' has no function 'network'; it has net"),
        ("network = 3\n", "module 'own' has no function 'network'; it has none"),
        ("def network():\n    return 3\n", "own:network: expected a torch.nn.Module, "),
        (
            "from torch import nn\ndef network():\n    return nn.Linear(6, 3), 3\n",
            "(module, loss, transform), got (Linear, int)",
        ),
        (
            "from torch import nn\nclass Net(nn.Linear):\n    def forward(self, x):\n"
            "        return x @ x\ndef network():\n    return Net(6, 3)\n",
            "own:network: own.py:4: RuntimeError: ",
        ),
        (
            "from torch import nn\ndef network():\n    return nn.Linear(6, 4)\n",
            "expected a float32 tensor of shape (1, 3), got float32 of shape (1, 4)",
        ),
        (
            "from torch import nn\ndef network():\n    return nn.Linear(6, 3).double()\n",
            "parameter weight: expected float32, got torch.float64",
        ),
        (
            "from torch import nn\ndef network():\n    return nn.Flatten()\n",
            "the network has no parameter that is trained",
        ),
        (
            "import os\nimport torch\nfrom torch import nn\ndef network():\n"
            "    made = nn.Linear(6, 3)\n"
            "    made.bias.data[0] = int.from_bytes(os.urandom(2), 'big')\n    return made\n",
            "parameter bias differs in two calls with the same seed",
        ),
        (
            "from torch import nn\nMADE = nn.Linear(6, 3)\ndef network():\n    return MADE\n",
            "the function returned one module twice",
        ),
        (
            "from torch import nn\ndef network():\n"
            "    return nn.Linear(6, 3), lambda outputs, targets: outputs.sum() / 0\n",
            "expected finite numbers, got a loss of",
        ),
        (
            "from torch import nn\ndef network():\n"
            "    return nn.Linear(6, 3), lambda outputs, targets: outputs.sum(1)\n",
            "own loss: expected a tensor with one number, got float32 of shape (2,)",
        ),
        (
            "from torch import nn\ndef network():\n"
            "    return nn.Linear(6, 3), lambda outputs, targets: 0.5\n",
            "own loss: expected a tensor with one number, got float",
        ),
        (
            "from torch import nn\ndef network():\n"
            "    return nn.Linear(6, 3), None, lambda x: x[:1]\n",
            "transform: expected a float32 tensor of 2 rows, got float32 of shape (1, 6)",
        ),
        (
            "from torch import nn\ndef network():\n"
            "    return nn.Linear(6, 3), None, lambda x: None\n",
            "transform: expected a float32 tensor of 2 rows, got NoneType",
        ),
        (
            "from torch import nn\ndef network(n_outputs):\n    return nn.LazyLinear(n_outputs)\n",
            "parameter weight: expected a shape, got none, as in a lazy layer of torch",
        ),
        ("class End(BaseException):\n    pass\nraise End('x')\n", "own.py:3: End: x"),
        (
            "class Mute(Exception):\n    def __str__(self):\n        return 1 / 0\nraise Mute\n",
            "own.py:4: Mute",
        ),
        ("raise ValueError('\\ud800 \\x1b[31m')\n", "own.py:1: ValueError: ? ?[31m"),
        ("from own import network\n", "cannot import name 'network' from partially"),
        ("import torchvision\n", "functions have torch, NumPy and the code's own modules"),
    ],
)
def test_an_error_has_the_line_in_the_users_code(source: str, expected: str) -> None:
    assert expected in refusal(source)


def test_no_error_has_the_place_of_the_unpacked_code(tmp_path: Path) -> None:
    assert str(tmp_path) not in refusal("from own import network\n")


def test_random_numbers_of_an_import_are_the_same_in_all_functions() -> None:
    """Those that are no parameters are never exchanged: each function draws them."""
    code = unpack(archive({"own.py": f"import torch\nDRAWN = torch.rand(9)\n{LINEAR}"}))
    drawn = []
    for seed in (1, 2):
        unrelated = unpack(archive({"own.py": LINEAR}))
        bound_network(spec(), (6,), 3, None, unrelated, seed)  # the process forgets the other code
        torch.manual_seed(seed)
        bound_network(spec(), (6,), 3, None, code, seed)
        drawn.append(sys.modules["own"].DRAWN)
    assert torch.equal(*drawn)


def test_settings_of_torch_end_with_the_call() -> None:
    """A warm function builds the network of another job next."""
    source = f"""
import torch

torch.set_default_dtype(torch.float64)
torch.set_grad_enabled(False)
{LINEAR}
"""
    before = torch.get_num_threads()
    check(source.replace("    return", "    torch.set_num_threads(3)\n    return"))
    assert torch.get_default_dtype() == torch.float32
    assert torch.is_grad_enabled()
    assert torch.get_num_threads() == before


def test_an_error_in_a_layer_of_torch_names_the_layer() -> None:
    source = """
from torch import nn

class Head(nn.Module):
    def __init__(self):
        super().__init__()
        self.last = nn.Linear(5, 3)

    def forward(self, x):
        return self.last(x)

def network():
    return nn.Sequential(nn.Linear(6, 4), Head())
"""
    message = refusal(source)
    assert message.startswith("model.entry_point: own:network: own.py:10: RuntimeError: mat1 and")
    assert message.endswith("; in layer '1.last', Linear(in_features=5, out_features=3, bias=True)")


def test_before_the_data_are_read_any_number_of_outputs_passes() -> None:
    check("from torch import nn\ndef network():\n    return nn.Linear(6, 4)\n", known=False)
    assert "of shape (1, n_outputs), got float32 of shape (1, 3, 4)" in refusal(
        "from torch import nn\ndef network():\n"
        "    return nn.Sequential(nn.Linear(6, 12), nn.Unflatten(1, (3, 4)))\n",
        known=False,
    )


def test_a_lack_of_memory_is_no_mistake_in_the_code() -> None:
    source = "import torch\ndef network():\n    return torch.empty(2**50, device='cpu')\n"
    with pytest.raises(RuntimeError, match="can't allocate memory") as caught:
        check(source)
    assert not isinstance(caught.value, InvalidNetworkError)


def test_parameters_are_counted_before_they_take_memory() -> None:
    """The layer would have 40 TB."""

    def require_room(n_parameters: int) -> None:
        raise ModelTooLargeError(f"{n_parameters}")

    source = "from torch import nn\ndef network():\n    return nn.Linear(10**7, 10**6, bias=False)"
    with pytest.raises(ModelTooLargeError, match=r"^10000000000000$"):
        check_network(
            spec(), (6,), 3, unpack(archive({"own.py": source})), require_room=require_room
        )


@pytest.mark.parametrize("loss", ["cross_entropy", "binary_cross_entropy", "mean_squared_error"])
def test_the_networks_of_stepml_pass(loss: Any) -> None:
    n_outputs = 3 if loss == "cross_entropy" else 1
    check_network(Neural(network=networks.Mlp(hidden=(8,)), loss=loss), (6,), n_outputs)
    check_network(Neural(network=networks.Resnet18(width=4), loss=loss), (1, 4, 4), n_outputs)


def test_two_codes_with_modules_of_one_name_do_not_meet() -> None:
    """A warm function trains one job after another; packages import from themselves."""

    def package(width: int) -> Path:
        return unpack(
            archive(
                {
                    "own/__init__.py": "",
                    "own/sizes.py": f"WIDTH = {width}\n",
                    "own/nets.py": "from torch import nn\nfrom own.sizes import WIDTH\n"
                    "def network():\n    return nn.Linear(6, WIDTH)\n",
                }
            )
        )

    codes = {width: package(width) for width in (3, 5)}
    for width in (3, 5, 3):
        bound = bound_network(spec("own.nets:network"), (6,), 3, None, codes[width], seed=0)
        assert bound.layout.trained[0].shape == (width, 6)
        assert width == sys.modules["own.sizes"].WIDTH
    assert sum(str(each) in sys.path for each in codes.values()) == 1


@pytest.mark.parametrize(
    ("entry_point", "expected"),
    [
        ("other:network", "no module 'other' in the code; it has own, own.inner"),
        ("own.other:network", "no module 'own.other' in the code; it has own, own.inner"),
        ("json:loads", "'json' is a module of Python, StepML or a library; rename yours"),
        ("torch.own:network", "'torch' is a module of Python, StepML or a library; rename yours"),
        ("stepml:load_model", "'stepml' is a module of Python, StepML or a library"),
    ],
)
def test_a_module_that_is_not_in_the_code_is_named(entry_point: str, expected: str) -> None:
    code = unpack(
        archive({"own/__init__.py": "", "own/inner.py": "", "json.py": "", "torch/own.py": ""})
    )
    with pytest.raises(InvalidCodeError, match=r"^model\.entry_point: ") as caught:
        check_network(spec(entry_point), (6,), 3, code)
    assert expected in str(caught.value).replace("it has json, own", "it has own")


def test_code_is_unpacked_once_and_whole() -> None:
    packed = archive({"own.py": LINEAR})
    code = unpack(packed)
    assert code == directory_of(digest_of(packed))
    (code / "marked").touch()
    assert unpack(packed) == code
    assert (code / "marked").exists()
    assert [each.name for each in code.parent.iterdir()] == [code.name]
    assert stat.S_IMODE(code.parent.stat().st_mode) == 0o700


def test_functions_that_unpack_at_once_find_the_same_code() -> None:
    n_functions = 8
    barrier = Barrier(n_functions)

    def unpacked(packed: bytes) -> Path:
        barrier.wait()
        return unpack(packed)

    with ThreadPoolExecutor(n_functions) as functions:
        for number in range(5):
            packed = archive({f"{each}.py": f"x = {number}" for each in range(20)})
            (code,) = set(functions.map(unpacked, [packed] * n_functions))
            assert len(list(code.iterdir())) == 20


def test_functions_that_unpack_other_code_do_not_disturb() -> None:
    codes = [archive({"own.py": f"number = {number}"}) for number in range(60)]
    with ThreadPoolExecutor(8) as pool:
        for code, directory in zip(codes, pool.map(unpack, codes), strict=True):
            assert [each.name for each in directory.iterdir()] == ["own.py"]
            assert directory == directory_of(digest_of(code))


def link(name: str) -> zipfile.ZipInfo:
    member = zipfile.ZipInfo(name)
    member.external_attr = (stat.S_IFLNK | 0o777) << 16
    return member


@pytest.mark.parametrize(
    "name", ["../own.py", "/own.py", "a/../../own.py", "..\\own.py", link("x")]
)
def test_files_outside_of_the_code_are_refused(name: Any, tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as opened:
        opened.writestr(name, "/etc/passwd")
    with pytest.raises(InvalidCodeError, match=r"^code: expected files with relative paths"):
        unpack(buffer.getvalue())
    assert not [each for each in tmp_path.rglob("*") if each.is_file() or each.is_symlink()]


def test_damaged_and_large_code_is_refused() -> None:
    packed = archive({"own.py": LINEAR})
    assert len(packed) < 1000
    for damaged in (b"", b"text", packed[:-5]):
        with pytest.raises(InvalidCodeError, match=r"^code: expected a zip file: "):
            unpack(damaged)
    for place in range(len(packed)):
        damaged = packed[:place] + bytes([packed[place] ^ 0xFF]) + packed[place + 1 :]
        with suppress(InvalidCodeError):  # some bytes, such as those of times, do not matter
            unpack(damaged)
    with pytest.raises(InvalidCodeError, match=r"^code: expected a zip file of at most"):
        unpack(bytes(MOST_PACKED_BYTES + 1))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as opened:
        for number in range(11):
            opened.writestr(f"{number}", bytes(10 * 2**20))
    with pytest.raises(InvalidCodeError, match=r"bytes in the zip file, got 115,343,360"):
        unpack(buffer.getvalue())
    unpack(packed)
