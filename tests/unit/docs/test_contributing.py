"""CONTRIBUTING's table of additions names all files that an addition of each kind touches."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from stepml.job.algorithms import ALGORITHMS
from tests.support.paths import ROOT
from tests.support.toys import PRODUCT, TOYS, Toy

LIMITS = {
    "storage service": 4,
    "algorithm": 3,
    "model": 3,
    "data format": 3,
    "way of exchanging": 8,
    "kind of function": 6,
    "CLI command": 2,
}
GENERATED = ("ps_server/generated/", "state_machines/job.schema.json")
# They train these models unless another one is given.
ESTIMATORS = "stepml/estimators/"
# The parameter server runs the optimiser of this algorithm itself (exchange.server_update).
ON_SERVER = {"lambdas/channels/server.py", "ps_server/protocol/calls.py", "stepml/job/spec.py"}
EXAMPLES = [
    *(
        ("algorithm", name, set())
        for name in ALGORITHMS
        if name not in ("gradient_averaging", "custom")
    ),
    # A model as well; the specs of both are in one file.
    ("algorithm", "custom", {"stepml/job/own_code.py", "stepml/ml/models/"}),
    ("algorithm", "gradient_averaging", ON_SERVER),
    # The job that tries a stack, and a newcomer's first job.
    ("model", "logistic_regression", {"stepml/deployment/smoke.py", ESTIMATORS}),
    ("model", "softmax_regression", {"stepml/cli/deploy.py", ESTIMATORS}),
    ("model", "linear_regression", {ESTIMATORS}),
    ("model", "svm", {"stepml/ml/data/formats/libsvm.py"}),  # a file ending
    # Its algorithm.
    ("model", "kmeans", {"stepml/ml/algorithms/expectation_maximisation.py", ESTIMATORS}),
    ("data format", "libsvm", set()),
    ("data format", "idx", set()),
    ("storage service", "memcached", set()),
    # Requests to it cost money, and moto lacks some of it.
    ("storage service", "dynamodb", {"stepml/job/prices.py", "stepml/local/"}),
]


def rows() -> dict[str, str]:
    """Return the cell with the files of each kind of addition."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    table = text.partition("| a new … |")[2].partition("\n\n")[0]
    lines = [line.strip("| ").split(" | ") for line in table.splitlines()[2:]]
    return dict(map(tuple, lines))


def files_of(kind: str) -> tuple[set[str], set[str]]:
    """Return the files that every addition of a kind touches, and those of some."""
    always, _, sometimes = rows()[kind].partition("Where ")
    return paths_in(always), paths_in(sometimes)


def paths_in(cell: str) -> set[str]:
    return {path for path in re.findall(r"`([^`]+)`", cell) if "/" in path or "." in path}


def test_the_table_has_every_kind() -> None:
    assert list(rows()) == list(LIMITS)


@pytest.mark.parametrize("kind", LIMITS)
def test_the_files_exist(kind: str) -> None:
    for path in set.union(*files_of(kind)):
        there = (ROOT / path).exists()
        assert there or any(ROOT.glob(re.sub(r"\bx\b", "*", path))), path


@pytest.mark.parametrize(("kind", "limit"), LIMITS.items())
def test_they_are_few(kind: str, limit: int) -> None:
    assert len(files_of(kind)[0]) <= limit


@pytest.mark.parametrize("toy", TOYS, ids=lambda toy: toy.kind)
def test_a_toy_touches_the_files_of_its_row(toy: Toy) -> None:
    name = Path(toy.target).stem
    assert toy.files == {re.sub(r"\bx\b", name, path) for path in files_of(toy.kind)[0]}


@pytest.mark.parametrize(("kind", "name", "others"), EXAMPLES)
def test_no_other_file_names_what_exists(kind: str, name: str, others: set[str]) -> None:
    always, sometimes = files_of(kind)
    allowed = [re.sub(r"\bx\b.*", name, path) for path in always | sometimes | others]
    found = [path for path in product_files() if name in words_of(path)]
    assert found
    assert [path for path in found if not path.startswith(tuple(allowed))] == []


def test_no_other_file_knows_a_way_of_exchanging() -> None:
    always, sometimes = files_of("way of exchanging")
    allowed = [re.sub(r"\bx\b", "in_flight", path) for path in always | sometimes]
    its_algorithm = "stepml/ml/algorithms/gradient_averaging.py"
    found = {
        path
        for path in product_files()
        if any(word.startswith("in_flight") for word in words_of(path))
    }
    assert its_algorithm in found
    others = found - {its_algorithm}
    assert sorted(path for path in others if not path.startswith(tuple(allowed))) == []


def product_files() -> Iterator[str]:
    for folder in PRODUCT:
        for path in sorted((ROOT / folder).rglob("*")):
            relative = path.relative_to(ROOT).as_posix()
            if path.suffix in {".py", ".yaml", ".json"} and not relative.startswith(GENERATED):
                yield relative


@cache
def words_of(path: str) -> set[str]:
    """Return the words of a file's code: of names and strings, not of comments and docstrings.

    ``LinearRegression`` counts as ``linear_regression``, and ``KMeans`` as ``kmeans`` as well.
    """
    text = (ROOT / path).read_text()
    if path.endswith(".py"):
        text = " ".join(_texts(ast.parse(text)))
    elif path.endswith(".yaml"):
        text = re.sub(r"(^|\s)#.*", "", text)
    names = set(re.findall(r"\w+", text))
    snake = {re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name) for name in names}
    return {name.lower() for name in names | snake}


def _texts(tree: ast.AST) -> Iterator[str]:
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, documented) and node.body and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and id(node) not in docstrings:
            yield str(node.value)
        for field in ("id", "attr", "name", "arg", "module"):
            yield str(getattr(node, field, ""))
