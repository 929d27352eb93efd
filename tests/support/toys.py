"""A copy of the product with toys added: a storage, a model, an algorithm and a data format.

Each toy is one module of ``tests/toys/`` and entries in the registries that CONTRIBUTING names.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.support.paths import ROOT

PRODUCT = ("stepml", "lambdas", "comm", "storage", "ps_server", "templates", "state_machines")
MODULES = ROOT / "tests" / "toys"


@dataclass(frozen=True)
class Entry:
    """Text to insert into a file before an anchor, which occurs once."""

    file: str
    anchor: str
    text: str

    def insert(self, tree: Path) -> None:
        path = tree / self.file
        before, found, after = path.read_text().partition(self.anchor)
        assert found and self.anchor not in after, f"{self.file}: {self.anchor!r}"
        path.write_text(before + self.text + found + after)


@dataclass(frozen=True)
class Toy:
    """One addition to the product."""

    kind: str  # as in CONTRIBUTING: "storage service"
    module: str  # in tests/toys
    target: str  # the module's place in the product
    entries: tuple[Entry, ...]

    @property
    def files(self) -> set[str]:
        """The product files that the toy adds or changes."""
        return {self.target, *(entry.file for entry in self.entries)}

    def add(self, tree: Path) -> None:
        shutil.copy(MODULES / self.module, tree / self.target)
        for entry in self.entries:
            entry.insert(tree)


STORAGE = Toy(
    "storage service",
    "sqlite.py",
    "storage/sqlite.py",
    (
        Entry(
            "stepml/job/channels.py",
            '    Channel(\n        "redis",',
            '    Channel(\n        "sqlite",\n        service="SQLite",\n'
            '        variable="STEPML_SQLITE_URL",\n        parameter="SqliteUrl",\n'
            '        opener="storage.sqlite:open_storage",\n    ),\n',
        ),
        Entry(
            "templates/template.yaml",
            "  RedisUrl:\n    Type",
            '  SqliteUrl:\n    Type: String\n    Default: ""\n',
        ),
        Entry(
            "templates/template.yaml",
            "        STEPML_REDIS_URL: !Ref",
            "        STEPML_SQLITE_URL: !Ref SqliteUrl\n",
        ),
    ),
)
MODEL = Toy(
    "model",
    "median_regression.py",
    "stepml/ml/models/median_regression.py",
    (
        Entry(
            "stepml/job/models.py",
            "Model = (\n    LogisticRegression",
            "class MedianRegression(\n"
            '    ModelSpec, frozen=True, kw_only=True, tag_field="name", tag="median_regression"\n'
            '):\n    """Least absolute deviations."""\n\n\n',
        ),
        Entry("stepml/job/models.py", "LogisticRegression | Softmax", "MedianRegression | "),
        Entry(
            "stepml/ml/models/__init__.py",
            "from stepml.ml.models.penalty",
            "from stepml.ml.models.median_regression import MedianRegression\n",
        ),
        Entry(
            "stepml/ml/models/__init__.py",
            '    "kmeans": KMeans,',
            '    "median_regression": MedianRegression,\n',
        ),
    ),
)
ALGORITHM = Toy(
    "algorithm",
    "full_gradient.py",
    "stepml/ml/algorithms/full_gradient.py",
    (
        Entry(
            "stepml/job/algorithms.py",
            "Algorithm = (",
            "class FullGradient(\n"
            '    AlgorithmSpec, frozen=True, kw_only=True, tag_field="name", tag="full_gradient"\n'
            '):\n    """One step an epoch."""\n\n\n',
        ),
        Entry(
            "stepml/job/algorithms.py", "    GradientAveraging\n    | Model", "    FullGradient |\n"
        ),
        Entry(
            "stepml/ml/algorithms/__init__.py",
            "from stepml.ml.algorithms.gradient_averaging",
            "from stepml.ml.algorithms.full_gradient import FullGradient\n",
        ),
        Entry(
            "stepml/ml/algorithms/__init__.py",
            '    "admm": Admm',
            '    "full_gradient": FullGradient,\n',
        ),
    ),
)
DATA_FORMAT = Toy(
    "data format",
    "json_rows.py",
    "stepml/ml/data/formats/json_rows.py",
    (
        Entry(
            "stepml/job/formats.py",
            '    "libsvm": FormatFacts(',
            '    "json_rows": FormatFacts(\n'
            '        label="first", label_words="rows begin with their label", needs_label=True\n'
            "    ),\n",
        ),
        Entry(
            "stepml/ml/data/formats/__init__.py",
            "from stepml.ml.data.formats.libsvm",
            "from stepml.ml.data.formats.json_rows import JsonRows\n",
        ),
        Entry(
            "stepml/ml/data/formats/__init__.py", '    "idx": Idx', '    "json_rows": JsonRows(),\n'
        ),
    ),
)
TOYS = (STORAGE, MODEL, ALGORITHM, DATA_FORMAT)

_DEPLOY = """
import json, sys
from pathlib import Path
from tests.support.deployment import deploy
endpoint_url, tree, stack, parameters = sys.argv[1:]
template = Path(tree, "templates", "template.yaml")
outputs = deploy(endpoint_url, template, stack_name=stack, parameters=json.loads(parameters))
print(json.dumps(outputs))
"""


def product_with_toys(tree: Path) -> None:
    """Copy the product to ``tree`` and add all toys."""
    for name in PRODUCT:
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
    for toy in TOYS:
        toy.add(tree)


def deploy_tree(
    tree: Path, endpoint_url: str, stack: str, parameters: Mapping[str, str]
) -> dict[str, str]:
    """Deploy the product in ``tree`` with its own code, and return the stack's outputs."""
    deployed = subprocess.run(
        [sys.executable, "-c", _DEPLOY, endpoint_url, str(tree), stack, json.dumps(parameters)],
        env={**os.environ, "PYTHONPATH": str(tree)},
        cwd=tree,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    outputs: dict[str, str] = json.loads(deployed.stdout)
    return outputs
