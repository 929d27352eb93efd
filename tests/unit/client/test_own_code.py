"""Code that goes with a job: from a path, or from an installed package with an entry point."""

from __future__ import annotations

import io
import json
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import stepml
from stepml.client.own_code import STAND_IN, with_own_code
from stepml.job.errors import InvalidCodeError, InvalidJobError
from stepml.job.parse import parse_job
from tests.support.moto_stack import MotoStack
from tests.support.own_code import write_code
from tests.support.paths import ROOT

EXAMPLES = ROOT / "examples" / "own_code"
ENTRY_POINTS = """
[stepml.models]
quantile = robust.losses:Quantile
kmeans = robust.losses:Quantile
broken = robust.broken:Broken

[stepml.algorithms]
prox = prox:FedProx
"""
PACKAGE = {
    "robust-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: robust\nVersion: 1.0\n",
    "robust-1.0.dist-info/entry_points.txt": ENTRY_POINTS,
    "robust/__init__.py": "",
    "robust/losses.py": """
import numpy as np
import stepml

class Quantile(stepml.OwnLinearModel):
    convex, smooth = True, False

    def __init__(self, q=0.5):
        self.q = q

    def losses(self, z, y):
        slopes = np.where(z > y, 1 - self.q, -self.q)
        return slopes * (z - y), slopes
""",
    "robust/broken.py": "import absent_library",
    "prox.py": (EXAMPLES / "fedprox.py").read_text(),
}
JOB: dict[str, Any] = {
    "data": {"uri": "data/rows.csv", "format": "csv"},
    "model": {"name": "quantile", "q": 0.9, "l2": 0.1},
}


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory of installed packages."""
    place = tmp_path / "site-packages"
    write_code(place, PACKAGE)
    monkeypatch.syspath_prepend(place)
    yield place
    for name in [each for each in sys.modules if each.partition(".")[0] in ("robust", "prox")]:
        del sys.modules[name]


def test_a_name_of_an_installed_package_is_its_class_with_facts_and_options(
    installed: Path,
) -> None:
    text, code = with_own_code(json.dumps(JOB), None)
    assert json.loads(text)["model"] == {
        "name": "custom",
        "entry_point": "robust.losses:Quantile",
        "options": {"q": 0.9},
        "learns": "numbers",
        "convex": True,
        "smooth": False,
        "l2": 0.1,
    }
    assert code is not None
    assert set(code.names) == {"robust/__init__.py", "robust/losses.py", "robust/broken.py"}
    spec = parse_job(text)
    assert spec.code == STAND_IN
    code.require_module("robust.losses:Quantile")


def test_packages_of_a_model_and_an_algorithm_are_sent_together(installed: Path) -> None:
    job = JOB | {"algorithm": {"name": "prox", "mu": 0.5, "batch_size": 64}}
    text, code = with_own_code(json.dumps(job), None)
    algorithm = json.loads(text)["algorithm"]
    assert algorithm["options"] == {"mu": 0.5}
    assert (algorithm["entry_point"], algorithm["batch_size"]) == ("prox:FedProx", 64)
    assert code is not None
    assert {"prox.py", "robust/losses.py"} <= set(code.names)


def test_names_of_stepml_come_first_and_unknown_ones_stay(installed: Path) -> None:
    for model in ({"name": "kmeans", "n_clusters": 2}, {"name": "unknown"}, "text"):
        text = json.dumps(JOB | {"model": model})
        assert with_own_code(text, None) == (text, None)


def test_what_cannot_be_sent_is_refused(installed: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidCodeError, match=r"^model.name: 'broken' is .*ModuleNotFoundError"):
        with_own_code(json.dumps(JOB | {"model": {"name": "broken"}}), None)
    expected = r"^model: 'quantile' is robust.losses:Quantile: .*'p'; expected q$"
    with pytest.raises(InvalidCodeError, match=expected):
        with_own_code(json.dumps(JOB | {"model": {"name": "quantile", "p": 0.9}}), None)
    text, _ = with_own_code(json.dumps(JOB | {"model": {"name": "quantile", "options": [1]}}), None)
    with pytest.raises(InvalidJobError, match=r"^model.options: expected an object, got \[1\]"):
        parse_job(text)
    with pytest.raises(InvalidJobError, match="'quantile' is in an installed package, whose code"):
        with_own_code(json.dumps(JOB), EXAMPLES)
    plain = JOB | {"model": {"name": "linear_regression"}}
    with pytest.raises(InvalidJobError, match=r"code: has no effect without model\.entry_point"):
        with_own_code(json.dumps(plain), EXAMPLES)
    with pytest.raises(InvalidCodeError, match=r"code: .* cannot be read: No such file or"):
        with_own_code((EXAMPLES / "huber.json").read_text(), tmp_path / "absent")


def test_a_client_sends_code_once_and_names_it_in_the_job(stack: MotoStack) -> None:
    client = stack.client()
    runs = [
        client.run(EXAMPLES / "huber.json", f"own-{number}", code=EXAMPLES / "huber.py")
        for number in (1, 2)
    ]
    model = stepml.CustomModel(entry_point="huber:Huber", options={"delta": 50}, convex=True)
    job = stepml.Job(data=stepml.Data(uri="data/diabetes.csv", format="csv"), model=model)
    runs.append(client.run(job, "own-0", code=EXAMPLES / "huber.py"))
    (uri,) = {json.loads(run.state.job)["code"] for run in runs}
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    s3 = client.connection.client("s3")
    stored = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    with zipfile.ZipFile(io.BytesIO(stored)) as archive:
        assert archive.namelist() == ["huber.py"]
    with pytest.raises(InvalidCodeError, match="expected the module 'huber' in the code, as huber"):
        client.run(EXAMPLES / "huber.json", "own-3", code=EXAMPLES / "fedprox.py")
