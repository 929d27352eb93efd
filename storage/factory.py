"""Which storage a name stands for. A backend's client is imported only where it is used.

A new backend is a module with one class, a line in `_BACKENDS` here, and a line in the fixture of
``tests/contracts/conftest.py``.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import NamedTuple

from stepml.job.errors import NotAvailableError
from storage.base import DurableStorage, Storage

BUCKET_VARIABLE = "STEPML_BUCKET"  # all of them are set by templates/template.yaml
TABLE_VARIABLE = "STEPML_DYNAMODB_TABLE"
REDIS_URL_VARIABLE = "STEPML_REDIS_URL"
REDIS_PASSWORD_VARIABLE = "STEPML_REDIS_PASSWORD"  # noqa: S105 — its name
MEMCACHED_URL_VARIABLE = "STEPML_MEMCACHED_URL"
CA_FILE_VARIABLE = "STEPML_CA_FILE"


def open_durable() -> DurableStorage:
    """Return the durable store of this deployment: the bucket that the template names."""
    from storage.s3 import S3Storage

    return S3Storage(os.environ[BUCKET_VARIABLE])


def open_channel(name: str) -> Storage:
    """Return the channel called ``name`` in the job spec (``exchange.channel``).

    Raises
    ------
    NotAvailableError
        This deployment has no such service.
    """
    if name not in configured_channels():
        variable = f", {_BACKENDS[name].variable} is empty" if name in _BACKENDS else ""
        raise NotAvailableError(
            f"exchange.channel {name!r} is not available in this deployment{variable}; available: "
            f"{', '.join(configured_channels())}"
        )
    return _BACKENDS[name].open()


def configured_channels() -> tuple[str, ...]:
    """Return the names of the channels that this deployment has."""
    return tuple(name for name, backend in _BACKENDS.items() if os.environ.get(backend.variable))


def _open_dynamodb() -> Storage:
    from storage.dynamodb import DynamoDBStorage

    return _in_blocks(DynamoDBStorage(os.environ[TABLE_VARIABLE]))


def _open_redis() -> Storage:
    from storage.redis import RedisStorage

    return _in_blocks(
        RedisStorage(
            os.environ[REDIS_URL_VARIABLE],
            password=os.environ.get(REDIS_PASSWORD_VARIABLE, ""),
            ca_file=os.environ.get(CA_FILE_VARIABLE) or None,
        )
    )


def _open_memcached() -> Storage:
    from storage.memcached import MemcachedStorage

    ca_file = os.environ.get(CA_FILE_VARIABLE) or None
    return _in_blocks(MemcachedStorage(os.environ[MEMCACHED_URL_VARIABLE], ca_file=ca_file))


def _in_blocks(storage: Storage) -> Storage:
    from storage.blocks import BlockStorage
    from storage.retrying import RetryingStorage

    return BlockStorage(RetryingStorage(storage))


class _Backend(NamedTuple):
    variable: str  # the environment variable that says where it is
    open: Callable[[], Storage]


_BACKENDS = {
    "s3": _Backend(BUCKET_VARIABLE, open_durable),
    "redis": _Backend(REDIS_URL_VARIABLE, _open_redis),
    "memcached": _Backend(MEMCACHED_URL_VARIABLE, _open_memcached),
    "dynamodb": _Backend(TABLE_VARIABLE, _open_dynamodb),
}
