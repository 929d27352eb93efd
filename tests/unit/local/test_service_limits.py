"""Pages of S3, without HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from moto.s3.models import S3Backend, s3_backends

from stepml.local import service_limits

BUCKET = "limits-of-pages"


@pytest.fixture
def backend() -> Iterator[Any]:
    backend = S3Backend("aws", "123456789012")
    backend.create_bucket(BUCKET, "us-east-1")
    for i in range(1001):
        backend.put_object(BUCKET, f"{i:04}", b"")
    yield backend
    backend.reset()
    s3_backends.bucket_accounts.pop(BUCKET, None)


def test_a_page_has_at_most_a_thousand_objects(backend: Any) -> None:
    where: dict[str, Any] = {
        "bucket": backend.get_bucket(BUCKET),
        "prefix": None,
        "delimiter": None,
        "max_keys": 5000,
    }
    listed, _, is_truncated, _ = service_limits.list_objects(backend, marker=None, **where)
    assert (len(listed), is_truncated) == (1000, True)
    token, sizes = None, []
    for _ in range(2):
        objects, _, token = service_limits.list_objects_v2(
            backend, continuation_token=token, start_after=None, **where
        )
        sizes.append(len(objects))
    assert (sizes, token) == ([1000, 1], None)


def test_a_list_has_the_objects_with_its_prefix(backend: Any) -> None:
    for key in ("jobs/one/model", "jobs/one/epochs/1", "jobs/two/model", "jobs"):
        backend.put_object(BUCKET, key, b"")
    where: dict[str, Any] = {
        "bucket": backend.get_bucket(BUCKET),
        "marker": None,
        "max_keys": None,
    }
    objects, folders, *_ = service_limits.list_objects(
        backend, prefix="jobs/one/", delimiter="/", **where
    )
    assert ([each.name for each in objects], folders) == (["jobs/one/model"], ["jobs/one/epochs/"])
    objects, *_ = service_limits.list_objects(backend, prefix="jobs/", delimiter=None, **where)
    assert [each.name for each in objects] == [
        "jobs/one/epochs/1",
        "jobs/one/model",
        "jobs/two/model",
    ]
