"""Uploads against moto's server: files, folders and rows, once by their content."""

from __future__ import annotations

import io
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import stepml
from stepml.client import Client, Upload, UploadRefusedError
from stepml.client.transfers import upload
from tests.support.moto_stack import BUCKET, MotoStack

ROWS = b"a,b,y\n" * 1000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file with a name that no other test uses."""
    path = tmp_path / f"rows-{uuid.uuid4().hex[:8]}.csv"
    path.write_bytes(ROWS)
    return path


def content(stack: MotoStack, key: str) -> bytes:
    body = stack.service("s3").get_object(Bucket=BUCKET, Key=key)["Body"].read()
    assert isinstance(body, bytes)
    return body


def test_a_file_is_uploaded_once(stack: MotoStack, path: Path) -> None:
    client, portions = stack.client(), list[int]()

    first = client.upload(path, on_bytes=portions.append)
    second = client.upload(str(path))

    assert first.data == second.data == {"uri": f"s3://{BUCKET}/data/{path.name}"}
    assert (first.sent, second.sent) == (True, False)
    assert sum(portions) == len(ROWS)


@pytest.mark.parametrize("changed", [ROWS[:-1], ROWS.upper()])
def test_another_content_is_only_replaced_by_force(
    stack: MotoStack, path: Path, changed: bytes
) -> None:
    client = stack.client()
    client.upload(path)
    path.write_bytes(changed)

    with pytest.raises(UploadRefusedError, match=rf"has data/{path.name} with .*force=True"):
        client.upload(path)
    assert client.upload(path, to=f"data/other/{path.stem}/").uri.endswith(f"/{path.name}")
    assert client.upload(path, force=True).sent
    assert content(stack, f"data/{path.name}") == changed
    assert not client.upload(path).sent


@pytest.mark.parametrize(("there", "is_sent"), [(b"1", False), (b"2", True), (b"10", True)])
def test_an_object_that_another_program_wrote_is_replaced_by_another_content(
    stack: MotoStack, path: Path, there: bytes, is_sent: bool
) -> None:
    path.write_bytes(b"1")
    key = f"data/{path.name}"
    stack.put(key, there)
    client = stack.client()

    assert upload(client.connection, client.stack, path, key).sent == is_sent


def test_a_folder_keeps_its_structure(stack: MotoStack, path: Path) -> None:
    folder = path.parent / path.stem
    (folder / "b").mkdir(parents=True)
    (folder / "a.csv").write_bytes(b"1")
    (folder / "b" / "c.csv").write_bytes(b"2")

    sent = stack.client().upload(folder)

    assert sent.uri == f"s3://{BUCKET}/data/{path.stem}/"
    assert content(stack, f"data/{path.stem}/b/c.csv") == b"2"


def test_rows_get_a_place_by_their_content(stack: MotoStack) -> None:
    client = stack.client()
    X, y = np.arange(6.0).reshape(3, 2), np.array([0, 1, 0])

    first, again = client.upload(X, y), client.upload(X.copy(), list(y))
    other = client.upload(X + 1, y)

    assert first.uri == again.uri != other.uri
    assert (first.sent, again.sent, other.sent) == (True, False, True)
    key = first.uri.removeprefix(f"s3://{BUCKET}/")
    assert key.startswith("data/uploads/")
    found = np.load(io.BytesIO(content(stack, f"{key}part-00000.npz")))
    assert any(np.array_equal(found[name], X) for name in found)
    assert isinstance(stepml.Data(**first.data), stepml.Data)


def test_a_frame_keeps_its_columns(stack: MotoStack) -> None:
    sent = stack.client().upload(pd.DataFrame({"size": [1.5, 2.5], "kind": ["a", "b"]}))

    assert stepml.Data(**sent.data, label="kind").uri == sent.uri


@pytest.mark.parametrize(
    ("send", "message"),
    [
        (lambda client: client.upload("absent.csv"), "'absent.csv' cannot be read: No such file"),
        (lambda client: client.upload(__file__, to="other/x.csv"), "expected a place below data/"),
        (lambda client: client.upload(__file__, to="s3://other/x"), "in the bucket of the stack"),
        (lambda client: client.upload("s3://bucket/x.csv"), r"in S3 already; stepml\.Data\(uri"),
        (lambda client: client.upload(__file__, [1]), "go with rows in memory"),
        (lambda client: client.upload([[1.0]], to="data/x.npz"), "get a place by their content"),
        (lambda client: client.upload([[1.0]], [1, 2]), r"expected y of shape \(1,\)"),
        (lambda client: client.upload(None), "expected"),
    ],
)
def test_what_cannot_be_uploaded_is_refused(
    stack: MotoStack, send: Callable[[Client], Upload], message: str
) -> None:
    client: Any = stack.client()

    with pytest.raises(ValueError, match=message):
        send(client)
