"""A flat map from keys to bytes, shared by all workers: one interface, one class a service."""

from storage.base import DurableStorage, ObjectInfo, Storage, Version
from storage.factory import open_channel, open_durable

__all__ = [
    "DurableStorage",
    "ObjectInfo",
    "Storage",
    "Version",
    "open_channel",
    "open_durable",
]
