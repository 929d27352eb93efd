"""Opens the storages of this deployment, and imports only the client libraries that it needs."""

from __future__ import annotations

import os
from importlib import import_module
from typing import cast

from stepml.job.channels import CHANNELS, DURABLE, configured_channels
from stepml.job.errors import NotAvailableError
from storage.base import DurableStorage, Storage

BUCKET_VARIABLE = CHANNELS[DURABLE].variable


def open_durable() -> DurableStorage:
    """Open the durable store of this deployment."""
    return cast("DurableStorage", _open(DURABLE))


def open_channel(name: str) -> Storage:
    """Open the channel ``name`` (``exchange.channel``), which must be a storage.

    Raises
    ------
    NotAvailableError
        This deployment has no such service.
    """
    storages = [each for each in configured_channels() if CHANNELS[each].opener is not None]
    if name not in storages:
        variable = f", {CHANNELS[name].variable} is empty" if name in CHANNELS else ""
        raise NotAvailableError(
            f"exchange.channel {name!r} is not available in this deployment{variable}; available: "
            f"{', '.join(storages)}"
        )
    storage = _open(name)
    return storage if name == DURABLE else _in_blocks(storage)


def _open(name: str) -> Storage:
    channel = CHANNELS[name]
    module, _, function = str(channel.opener).partition(":")
    opener = getattr(import_module(module), function)
    return cast("Storage", opener(os.environ[channel.variable], os.environ))


def _in_blocks(storage: Storage) -> Storage:
    from storage.blocks import BlockStorage
    from storage.retrying import RetryingStorage

    retrying = RetryingStorage(storage)
    has_limit = retrying.block_bytes or retrying.max_value_bytes
    return BlockStorage(retrying) if has_limit else retrying
