"""Code of the user's own is refused before it trains, with the line in it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stepml.job.conversion import converted
from stepml.job.errors import InvalidCodeError
from stepml.job.models import LinearRegression
from stepml.job.own_code import CustomAlgorithm, CustomModel
from stepml.ml import own_model_checks
from stepml.ml.models import LinearModel, build_model
from stepml.ml.models.base import LossModel
from stepml.ml.own_algorithm_checks import check_own_algorithm
from stepml.ml.own_model_checks import check_own_model
from tests.support.paths import ROOT

EXAMPLES = ROOT / "examples" / "own_code"
HUBER = (EXAMPLES / "huber.py").read_text()
PROX = (EXAMPLES / "fedprox.py").read_text()
SQUARES = """
import numpy as np
import stepml

class Squares(stepml.OwnModel):
    def shapes(self):
        return {"w": (self.n_features,), "b": (1,)}

    def loss_and_gradient(self, w, X, y):
        e = self.outputs(w, X) - y
        return np.mean(e**2) / 2, np.append(X.T @ e, e.sum()) / len(y)

    def outputs(self, w, X):
        return X @ w[:-1] + w[-1]
"""
HINGES = """
import numpy as np
import stepml

class Hinges(stepml.OwnLinearModel):
    learns, convex, smooth = "classes", True, False

    def losses(self, z, y):
        signs = np.where(np.arange(z.shape[1]) == y[:, None], 1, -1)
        margins = np.maximum(1 - signs * z, 0)
        return margins.sum(axis=1), np.where(margins > 0, -signs, 0)
"""


@pytest.fixture(autouse=True)
def _own_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))


def check_model(tmp_path: Path, text: str, **fields: Any) -> int:
    (tmp_path / "own.py").write_text(text)
    name = re.findall(r"^class (\w+)", text, re.M)[-1:] or ["Absent"]
    spec = converted({"name": "custom", "entry_point": f"own:{name[0]}", **fields}, CustomModel)
    return check_own_model(spec, 4, [0.0, 1.0, 2.0], tmp_path).n_parameters


@pytest.mark.parametrize(
    ("text", "fields", "parameters"),
    [
        (HUBER, {"convex": True, "options": {"delta": 0.5}}, 5),
        (SQUARES, {}, 5),
        (HINGES, {"learns": "classes", "convex": True, "smooth": False}, 15),
    ],
    ids=["linear", "general", "classes with kinks"],
)
def test_what_is_right_passes(
    tmp_path: Path, text: str, fields: dict[str, Any], parameters: int
) -> None:
    assert check_model(tmp_path, text, **fields) == parameters


WRONG_MODELS = {
    "facts": (HUBER, {}, r"^model.convex: expected true, as class own:Huber declares it, got fa"),
    "options": (
        HUBER,
        {"options": {"delt": 1}},
        r"^model.options: own:Huber: own.py:\d+: .*'delt'; expected delta$",
    ),
    "no options": (
        HUBER.replace("delta: float = 1.35", "delta"),
        {},
        r"^model.options: own:Huber: own.py:\d+: missing a required argument: 'delta'; expected d",
    ),
    "failure": (HUBER.replace("error = z - y", "1 / 0"), {"convex": True}, r"own.py:20: ZeroDivi"),
    "change": (HUBER.replace("error = z", "z += 1; error = z"), {"convex": True}, "own.py:20: V"),
    "shape": (HUBER.replace(", slopes\n", ", 1.0\n"), {"convex": True}, r"the slopes .*got float"),
    "pair": (
        HUBER.replace(", slopes\n", "\n"),
        {"convex": True},
        r"own.py:19: the result of losses: expected \(losses, slopes\), got an array of float32",
    ),
    "slope": (
        HUBER.replace("error - slopes / 2", "error"),
        {"convex": True},
        r"own.py:19: the slope of row \d+: expected about \S+, by differences of the loss, got",
    ),
    "bound": (HUBER.replace("= 1.0", "= 0.5"), {"convex": True}, "most_curvature: expected at le"),
    "convex": (
        HUBER.replace(
            "return slopes * (error - slopes / 2), slopes", "return np.cos(z), -np.sin(z)"
        ),
        {"convex": True},
        "^model.convex: the loss of own:Huber is not convex: ",
    ),
    "sum": (SQUARES.replace("np.mean", "np.sum"), {}, "own.py:9: the loss is not the mean over r"),
    "gradient": (SQUARES.replace(" / len(y)", ""), {}, r"the gradient by parameter \d: expected"),
    "chance": (SQUARES.replace("/ 2", "+ np.random.rand()"), {}, "must not count, or draw random"),
    "abstract": (SQUARES.replace("def outputs", "def other"), {}, "abstract method outputs"),
    "none": ("x = 1", {}, r"module 'own' has no class 'Absent'"),
    "base": ("class Own: pass", {}, r"derives from stepml.OwnModel or stepml.OwnLinearModel, got"),
    "library": ("import absent_library", {}, "functions have NumPy and the code's own modules"),
}


@pytest.mark.parametrize(("text", "fields", "message"), WRONG_MODELS.values(), ids=WRONG_MODELS)
def test_a_wrong_model_is_refused(
    tmp_path: Path, text: str, fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidCodeError, match=message):
        check_model(tmp_path, text, **fields)


# A limit that strikes in a callback of the garbage collector is dropped there, and strikes again.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_code_that_does_not_return_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(own_model_checks, "MOST_S", 0.2)
    endless = HUBER.replace("error = z - y", "while True: pass")
    with pytest.raises(InvalidCodeError, match=r"TimeLimitError: took more than 0\.2 s"):
        check_model(tmp_path, endless, convex=True)


def check_algorithm(tmp_path: Path, text: str, **fields: Any) -> None:
    (tmp_path / "own.py").write_text(text)
    spec = converted({"name": "custom", "entry_point": "own:FedProx", **fields}, CustomAlgorithm)
    model = build_model(LinearRegression(), 4, None, code=tmp_path)
    assert isinstance(model, LossModel)
    X = np.random.default_rng(0).normal(size=(32, 4)).astype(np.float32)
    check_own_algorithm(spec, model, (X, X[:, 0].copy()))


def test_a_right_algorithm_passes(tmp_path: Path) -> None:
    check_algorithm(tmp_path, PROX, options={"mu": 0.5, "momentum": 0.9})


STEP = "gradient += self.mu * (w - task.start)"
LASTING = PROX.replace("    def shared", "    lasting = True\n\n    def shared")
WRONG_ALGORITHMS = {
    "facts": (LASTING, r"^algorithm.lasting: expected true, as class own:FedProx declares it, got"),
    "loss": (PROX.replace("return loss", "return w"), "own.py:21: the loss of step: expected a nu"),
    "nothing changes": (PROX.replace("w -= self", "w = w - self"), "step must change w in place"),
    "memory": (
        PROX.replace(STEP, "self.n = getattr(self, 'n', 0) + 1; gradient *= self.n"),
        "two trainings with the same rows differ",
    ),
    "chance": (PROX.replace(STEP, "gradient += np.random.rand()"), "two trainings with the same"),
    "change": (PROX.replace(STEP, "task.start[:] = 0"), "own.py:23: ValueError: assignment desti"),
    "rows": (PROX.replace(STEP, "X *= 0"), "own.py:23: ValueError: output array is read-only"),
    "merge": (
        PROX.replace("return task.before", "return 0 * task.before[:2, None]"),
        "own.py:30: the parameters of",
    ),
    "shared": (PROX.replace("np.zeros(n_parameters, np.float32)", "[0]"), "shared: expected a di"),
    "averaged": (
        PROX.replace("    def shared", "    averaged = ('c',)\n\n    def shared"),
        "got c",
    ),
}


@pytest.mark.parametrize(("text", "message"), WRONG_ALGORITHMS.values(), ids=WRONG_ALGORITHMS)
def test_a_wrong_algorithm_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InvalidCodeError, match=message):
        check_algorithm(tmp_path, text)


def test_a_linear_model_keeps_coefficients_without_its_code(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(HUBER)
    spec = CustomModel(entry_point="own:Huber", convex=True)
    model = build_model(spec, 4, None, code=tmp_path)
    assert isinstance(model, LinearModel)
    assert model.has_curvature
    w = np.arange(5, dtype=np.float32)
    assert {name: each.tolist() for name, each in model.arrays(w).items()} == {
        "coefficients": [0, 1, 2, 3],
        "intercept": [4],
    }
