"""The examples with own code: in functions, over channels, as docs/own_code.md has them."""

from __future__ import annotations

import ast
import json
import re
from typing import Any

import pytest

from stepml import Client, datasets
from stepml.client import connect
from tests.support.local_stack import LocalStack
from tests.support.paths import ROOT

EXAMPLES = ROOT / "examples" / "own_code"
PAGE = (ROOT / "docs" / "own_code.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def client(local_stack: LocalStack) -> Client:
    for data in (datasets.DIABETES, datasets.DIGITS):
        local_stack.upload(data.key, datasets.get(data).read_bytes())
    return Client(connect(local_stack.endpoint_url))


def job(name: str, **fields: Any) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((EXAMPLES / f"{name}.json").read_bytes())
    return loaded | {"workers": 2} | fields


def test_a_loss_of_ones_own_trains_and_predicts(client: Client) -> None:
    run = client.run(job("huber"), code=EXAMPLES, wait=True)
    assert run.result is not None
    assert run.result.metrics["rmse"] < 75
    coefficients = run.model().coef_  # which needs no code
    predicted = run.predict([[50.0] * 10], code=EXAMPLES)
    assert predicted[0] == pytest.approx(50 * coefficients.sum() + run.model().intercept_, rel=1e-3)


def test_an_algorithm_of_ones_own_has_the_same_bits_over_channels_and_patterns(
    client: Client,
) -> None:
    exchanges = [
        {"channel": "s3", "pattern": "reduce"},
        {"channel": "redis", "pattern": "reduce_scatter"},
    ]
    stop = {"max_epochs": 2}
    runs = [
        client.run(job("fedprox", exchange=each, stop=stop), code=EXAMPLES) for each in exchanges
    ]
    losses = []
    for run in runs:
        result = run.wait().result
        assert result is not None
        losses.append([epoch.loss for epoch in result.history])
    assert losses[0] == losses[1]
    assert losses[0][1] < losses[0][0] < 1.5


@pytest.mark.parametrize("name", ["huber", "fedprox"])
def test_the_page_has_the_code_and_the_job_of_the_example(name: str) -> None:
    """Without types and docstrings, which do not change what they do."""
    shown = next(
        each for each in re.findall(r"```python\n(.*?)```", PAGE, re.S) if name in each.lower()
    )
    assert _plain(shown) == _plain((EXAMPLES / f"{name}.py").read_text(encoding="utf-8"))
    if name == "huber":
        text = re.findall(r"```json\n(.*?)```", PAGE, re.S)[0]
        assert json.loads(text) == json.loads((EXAMPLES / "huber.json").read_bytes())


def _plain(source: str) -> str:
    (found,) = [each for each in ast.parse(source).body if isinstance(each, ast.ClassDef)]
    for node in ast.walk(found):
        body = getattr(node, "body", [])
        if body and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
            del body[0]
        if isinstance(node, ast.FunctionDef):
            node.returns = None
        if isinstance(node, ast.arg):
            node.annotation = None
    return ast.dump(found)
