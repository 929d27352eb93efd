"""Jobs whose network a function of the user's makes: its code, its checks, its failures."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from lambdas.initialise import check_model
from lambdas.partition import partition
from stepml import load_model
from stepml.cli.app import app
from stepml.job import keys
from stepml.job.errors import (
    CodeNotFoundError,
    DamagedValueError,
    InvalidCodeError,
    InvalidJobError,
    InvalidNetworkError,
    KeyNotFoundError,
    ModelTooLargeError,
)
from stepml.ml.own.code import digest_of, directory_of
from tests.support.jobs import Job
from tests.support.own_code import archive, write_code
from tests.support.torch import torch  # noqa: F401 (skips where it is absent)

OWN: dict[str, Any] = {
    "model": {"name": "neural", "entry_point": "nets.small:network", "options": {"width": 8}},
    "code": "s3://data/own.zip",
    "algorithm": {"name": "gradient_averaging", "learning_rate": 0.05, "batch_size": 20},
}
SMALL = """
from torch import nn
from nets.layers import Hidden

def network(input_shape, n_outputs, width):
    (n,) = input_shape
    return nn.Sequential(Hidden(n, width), nn.Dropout(0.1), nn.Linear(width, n_outputs))
"""
LAYERS = """
from torch import nn

class Hidden(nn.Module):
    def __init__(self, n, width):
        super().__init__()
        self.linear = nn.Linear(n, width)

    def forward(self, x):
        from nets.activation import activated  # imported late
        return activated(self.linear(x))
"""
FILES = {
    "nets/small.py": SMALL,
    "nets/layers.py": LAYERS,
    "nets/activation.py": "import torch\nactivated = torch.tanh\n",
}


@pytest.fixture(autouse=True)
def _own_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))


def own_job(files: dict[str, str] | None = None, **fields: Any) -> Job:
    job = Job(**(OWN | fields))
    job.data.save("own.zip", archive(FILES | (files or {})))
    return job


def test_a_network_of_ones_own_learns_and_its_artifact_names_the_code() -> None:
    job = own_job()
    job.initialised()
    reports = [job.epoch(number) for number in (1, 2, 3)]
    assert reports[-1].training_loss < reports[0].training_loss
    job.finalise(3)
    card = job.storage.load(keys.model_card("job"))
    assert b'"entry_point": "nets.small:network"' in card
    assert digest_of(archive(FILES)).encode() in card


def test_it_has_the_bits_of_the_same_network_of_stepml() -> None:
    hidden = """
from torch import nn

def network(input_shape, n_outputs, width):
    return nn.Sequential(nn.Linear(4, width), nn.Tanh(), nn.Linear(width, n_outputs))
"""
    mine = own_job({"nets/small.py": hidden})
    theirs = Job(
        algorithm=OWN["algorithm"],
        model={"name": "neural", "network": {"name": "mlp", "hidden": [8], "activation": "tanh"}},
    )
    for job in (mine, theirs):
        job.initialised()
        job.epoch(1)
    assert mine.state_bits(1) == theirs.state_bits(1)


def test_a_job_keeps_the_code_with_which_it_began() -> None:
    job = own_job()
    job.initialised()
    job.data.save("own.zip", archive(FILES | {"nets/small.py": "raise ValueError('new')"}))
    directory_of(job.training_plan().code).rename(directory_of("elsewhere"))  # another function
    job.epoch(1)
    assert directory_of(job.training_plan().code).exists()


def test_code_that_is_lost_or_another_one_is_said() -> None:
    job = own_job()
    job.initialised()
    key = keys.code(job.training_plan().code)
    directory_of(job.training_plan().code).rename(directory_of("elsewhere"))
    job.storage.save(key, archive({"nets/small.py": SMALL}))
    with pytest.raises(DamagedValueError, match=f"^{key}: the code is not that with which"):
        job.epoch(1)
    job.storage.delete(key)
    with pytest.raises(KeyNotFoundError, match=key):
        job.epoch(1)


def test_an_error_in_the_code_comes_before_any_row_is_read() -> None:
    job = own_job({"nets/layers.py": LAYERS.replace("nets.activation", "nets.lost")})
    job.prepare()
    job.data.delete("rows.csv")
    with pytest.raises(InvalidNetworkError, match=r"nets/layers.py:10: ModuleNotFoundError: No m"):
        check_model("job", job.storage)


def test_an_error_in_training_has_its_line_and_its_rank() -> None:
    layers = LAYERS.replace(
        "        return act", "        assert len(x) < 15 or not self.training\n        return act"
    )
    job = own_job({"nets/layers.py": layers})
    job.initialised()
    with pytest.raises(
        InvalidNetworkError, match=r"small:network: nets/layers\.py:11: AssertionError$"
    ):
        job.execute(1, 0)
    failure = job.store.failures(1)[0]
    assert (failure.rank, failure.error) == (0, "InvalidNetworkError")


# As if its time were nearly over.
ENDLESS = """
import signal
import time

def wait():
    signal.setitimer(signal.ITIMER_REAL, 0.01)
    while True:
        try:
            time.sleep(3600)
        except Exception:
            pass
"""


@pytest.mark.parametrize(
    "files",
    [
        {"nets/small.py": "import wait; wait.wait()"},
        {"nets/small.py": "def network(**_):\n    import wait\n    wait.wait()"},
        {"nets/activation.py": "import wait\nactivated = lambda x: wait.wait()"},
    ],
    ids=["import", "function", "forward"],
)
def test_code_that_does_not_return_is_ended(files: dict[str, str]) -> None:
    job = own_job({"wait.py": ENDLESS, **files})
    job.prepare()
    expected = (
        r"^model.entry_point: nets.small:network: wait.py:\d+: TimeLimitError: took more than 120 s"
    )
    with pytest.raises(InvalidNetworkError, match=expected):
        check_model("job", job.storage)


def test_a_network_that_needs_more_rows_than_a_batch_has_is_refused_before_training() -> None:
    """A call of torch's function, unlike its layer, has no statistics of earlier batches."""
    layers = LAYERS.replace(
        "        return activated",
        "        from torch.nn.functional import batch_norm\n"
        "        x = x if not self.training else batch_norm(x, None, None, training=True)\n"
        "        return activated",
    )
    gradients = OWN["algorithm"]
    for fields in ({"batch_size": 1}, {"batch_size": 8, "accumulate": 8}):
        job = own_job({"nets/layers.py": layers}, algorithm=gradients | fields)
        expected = (
            r"^algorithm.batch_size: .* is one row, .*layers.py:12: ValueError: Expected more"
        )
        with pytest.raises(InvalidNetworkError, match=expected):
            job.initialised()
    own_job({"nets/layers.py": layers}, algorithm=gradients).initialised()
    own_job(algorithm=gradients | {"batch_size": 1}).initialised()


def test_labels_are_compared_with_the_network_once_they_are_known() -> None:
    source = SMALL.replace("n_outputs)", "5)").replace("n_outputs, width", "width")
    job = own_job({"nets/small.py": source})
    job.partitioned()  # the number of classes was unknown
    job.assemble()
    expected = r"expected a float32 tensor of shape \(1, 2\), got float32 of shape \(1, 5\)"
    with pytest.raises(InvalidNetworkError, match=expected):
        job.initialise()
    with pytest.raises(InvalidNetworkError, match=expected):
        check_model("job", job.storage)  # of another job on the same data


def test_rows_of_an_unknown_shape_only_need_the_function() -> None:
    job = own_job(data={"uri": "s3://data/rows.svm", "format": "libsvm"})
    job.data.save("rows.svm", b"1 1:2 2:3\n0 1:1 4:2\n" * 30)
    job.prepare()
    check_model("job", job.storage)
    job.spec["model"] = {**OWN["model"], "entry_point": "nets.small:lost"}
    job.prepare("arn:1")
    other = own_job(data=job.spec["data"], model=job.spec["model"])
    other.data.save("rows.svm", b"1 1:2 2:3\n0 1:1 4:2\n" * 30)
    other.prepare()
    with pytest.raises(InvalidCodeError, match="has no function 'lost'; it has network"):
        check_model("job", other.storage)


def test_a_network_without_room_is_refused_with_the_memory_that_it_needs() -> None:
    job = own_job()
    job.prepare()
    expected = r" of 130 parameters.* Use a smaller network$"
    with pytest.raises(ModelTooLargeError, match=expected):
        check_model("job", job.storage, function_mb=450)
    large = own_job(model={**OWN["model"], "options": {"width": 10**8}})
    large.prepare()
    with pytest.raises(ModelTooLargeError, match=r"training takes about \d\d,\d\d\d MB"):
        check_model("job", large.storage)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("s3://data/none.zip", "^code: nothing lies at s3://data/none.zip"),
        ("s3://data/rows.csv", "^code: expected a zip file: "),
    ],
)
def test_code_that_is_no_zip_file_is_refused_at_the_door(code: str, expected: str) -> None:
    job = own_job(code=code)
    with pytest.raises(InvalidCodeError, match=expected) as caught:
        job.prepare()
    assert isinstance(caught.value, CodeNotFoundError) == code.endswith("none.zip")
    assert not list(job.storage.list(""))


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"code": None}, "code: model.entry_point names code of your own; expected s3"),
        ({"model": {"name": "neural", "network": "mlp"}}, "code: has no effect without model.ent"),
        ({"model": {**OWN["model"], "network": "mlp"}}, "model.network: expected mlp, mobilenet"),
        ({"model": {"name": "neural"}, "code": None}, "model.network: expected mlp, mobilenet"),
        (
            {"model": {"name": "neural", "network": "mlp", "options": {"a": 1}}, "code": None},
            "model.options: are arguments of model.entry_point, which is not set",
        ),
        (
            {"model": {**OWN["model"], "entry_point": "nets/small.py"}},
            "model.entry_point: expected a string like package.module:function or null, got",
        ),
        ({"code": "./own.zip"}, "code: expected a string like s3://bucket/key of a zip file"),
    ],
)
def test_fields_that_do_not_go_together_are_refused(fields: dict[str, Any], expected: str) -> None:
    with pytest.raises(InvalidJobError, match=f"(^|; ){expected}"):
        own_job(**fields).prepare()


def test_only_jobs_of_networks_are_checked_first() -> None:
    assert own_job().prepare().checks_model
    assert not Job().prepare().checks_model


def test_shards_are_planned_without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    job = own_job()
    state = job.prepare()
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "torch", None)  # its import fails
        for number in state.data.ranges:
            partition(number, "job", job.partition_plan(), job.data, job.storage)
        job.plan()
        job.assemble()
    job.initialise()
    assert job.training_plan().network is not None


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    """The directory of a trained model, beside that of its code."""
    job = own_job()
    job.initialised()
    job.epoch(1)
    job.finalise(1)
    directory = tmp_path / "model"
    directory.mkdir()
    for key in (keys.model("job"), keys.model_card("job")):
        (directory / Path(key).name).write_bytes(job.storage.load(key))
    write_code(tmp_path / "code", FILES)
    return directory


ROWS = [[1.0, 2.0, 3.0, 4.0], [4.0, 3.0, 2.0, 1.0]]


def test_a_loaded_model_runs_code_only_if_it_is_named(trained: Path) -> None:
    model = load_model(trained)
    with pytest.raises(InvalidNetworkError, match=r"runs only if you name it: .*code=PATH"):
        model.predict(ROWS)
    model = load_model(trained, code=trained.parent / "code")
    assert set(model.predict(ROWS)) <= {0.0, 1.0}
    (trained.parent / "code" / "more.py").touch()
    with pytest.warns(UserWarning, match="is not the one that was trained"):
        again = load_model(trained, code=trained.parent / "code")
    assert np.array_equal(model.predict_proba(ROWS), again.predict_proba(ROWS))


def test_code_of_another_network_is_refused_with_the_model(trained: Path) -> None:
    layers = trained.parent / "code" / "nets" / "layers.py"
    layers.write_text(LAYERS.replace("self.linear", "self.other"))
    with pytest.raises(InvalidNetworkError, match="makes a network with other parameters than"):
        load_model(trained, code=trained.parent / "code")
    layers.write_text("raise OSError('broken')")
    with pytest.raises(InvalidNetworkError, match=r"nets/layers\.py:1: OSError: broken"):
        load_model(trained, code=trained.parent / "code")


def test_predictions_on_the_command_line_need_the_code_as_well(trained: Path) -> None:
    rows = trained.parent / "rows.csv"
    rows.write_text("1,2,3,4\n4,3,2,1\n")
    command = ["predict", str(trained), str(rows), "--no-label"]
    without = CliRunner().invoke(app, command)
    assert without.exit_code == 2
    assert "runs only if you name it" in " ".join(without.stderr.split())
    code = trained.parent / "code"
    found = CliRunner().invoke(app, [*command, "--code", str(code)])
    assert (found.exit_code, len(found.stdout.splitlines())) == (0, 3)
    (code / "more.py").write_text("print('a remark')")
    (code / "nets" / "__init__.py").write_text("import more")
    warned = CliRunner().invoke(app, [*command, "--code", str(code)])
    assert warned.stdout == found.stdout
    assert "warning: the code at" in warned.stderr
    assert "a remark" in warned.stderr


def test_rows_have_weights_unless_the_network_has_a_loss_of_its_own() -> None:
    data = {"uri": "s3://data/rows.csv", "format": "csv", "weight": 1}
    head = "def network(input_shape, n_outputs, width):\n"
    network = f"{head}    net = nn.Linear(input_shape[0], n_outputs)\n"
    for loss, is_known in (("net", True), ("net, nn.CrossEntropyLoss()", False)):
        text = f"from torch import nn\n{network}    return {loss}\n"
        job = own_job({"nets/small.py": text}, data=data)
        rows = [f"{n % 7},{n % 3},{n % 5},{n % 2}" for n in range(120)]
        job.data.save("rows.csv", "\n".join(rows).encode())
        if is_known:
            job.initialised()
            assert job.epoch(1).loss > 0
            continue
        with pytest.raises(InvalidJobError, match=r"data\.weight: expected none with a loss of"):
            job.initialised()
