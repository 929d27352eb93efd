"""Which storage a name stands for. A backend's client is imported only where it is used."""

from __future__ import annotations

import os

from stepml.job.errors import NotAvailableError
from storage.base import DurableStorage, Storage

BUCKET_VARIABLE = "STEPML_BUCKET"  # set by templates/template.yaml


def open_durable() -> DurableStorage:
    """Return the durable store of this deployment: the bucket that the template names."""
    from storage.s3 import S3Storage

    return S3Storage(os.environ[BUCKET_VARIABLE])


def open_channel(name: str) -> Storage:
    """Return the channel called ``name`` in the job spec (``exchange.channel``)."""
    if name == "s3":
        return open_durable()
    raise NotAvailableError(f"exchange.channel {name!r} is not available yet; available: s3")
