"""The example with a network of one's own: code, job and commands as docs/neural.md has them."""

from __future__ import annotations

import ast
import json
import re
from typing import Any

import pytest

from stepml import datasets
from stepml.client import connect
from stepml.client.stack import Stack
from stepml.client.transfers import upload_code
from stepml.job import keys
from stepml.packaging.user_code import packed_code
from tests.support.local_stack import LocalStack
from tests.support.own_code import archive
from tests.support.paths import ROOT
from tests.support.torch import torch  # noqa: F401 (skips where it is absent)

EXAMPLE = ROOT / "examples" / "own_network"
PAGE = (ROOT / "docs" / "neural.md").read_text(encoding="utf-8")


@pytest.fixture
def job(local_stack: LocalStack) -> dict[str, Any]:
    data = datasets.DIGITS
    local_stack.upload(data.key, datasets.get(data).read_bytes())
    loaded: dict[str, Any] = json.loads((EXAMPLE / "job.json").read_bytes())
    return loaded


def test_the_example_trains_in_functions(local_stack: LocalStack, job: dict[str, Any]) -> None:
    code = packed_code(EXAMPLE)
    stack = Stack("", local_stack.bucket, train_arn="", epoch_arn="")
    upload = upload_code(connect(local_stack.endpoint_url), stack, code)
    assert upload.uri.endswith(keys.code(code.digest))
    ended = local_stack.run(job | {"code": upload.uri, "stop": {"max_epochs": 2}}, chooses=True)
    assert ended["status"] == "SUCCEEDED", ended
    assert ended["report"]["metrics"]["accuracy"] > 0.9


def test_code_that_fails_ends_the_job_before_its_data_are_read(
    local_stack: LocalStack, job: dict[str, Any]
) -> None:
    broken = archive({"digits_net.py": "\nraise ValueError('broken')\n"})
    uri = local_stack.upload("mine/broken.zip", broken)
    data = job["data"] | {"seed": 77}  # partitioned by no other job
    ended = local_stack.run(job | {"code": uri, "data": data}, chooses=True)
    assert ended["status"] == "FAILED"
    assert ended["error"] == "InvalidNetworkError"
    assert "digits_net.py:2: ValueError: broken" in ended["cause"]
    digest = json.loads(local_stack.read(keys.partition_plan(ended["name"])))["digest"]
    assert local_stack.keys(f"datasets/{digest}/") == []


def test_the_page_has_the_code_of_the_example() -> None:
    """Without types and docstring, which do not change what it does."""
    (shown,) = re.findall(r"```python\n(from torch.*?)```", PAGE, re.S)
    example = (EXAMPLE / "digits_net.py").read_text(encoding="utf-8")
    assert _functions(shown) == _functions(example)


def _functions(source: str) -> list[str]:
    found = [each for each in ast.parse(source).body if isinstance(each, ast.FunctionDef)]
    for function in found:
        function.returns = None
        for argument in function.args.args:
            argument.annotation = None
    return [ast.dump(each) for each in found]
