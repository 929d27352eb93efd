"""A flat map from keys to bytes, shared by all workers: one interface, one class a service."""

from storage.base import DurableStorage, ObjectInfo, Storage, Version
from storage.factory import configured_channels, open_channel, open_durable

__all__ = [
    "DurableStorage",
    "ObjectInfo",
    "Storage",
    "Version",
    "configured_channels",
    "open_channel",
    "open_durable",
]
