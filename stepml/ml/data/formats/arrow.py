"""The import of pyarrow, which the package of the plain functions lacks."""

from __future__ import annotations

import importlib
from typing import Any

from stepml.job.errors import NotAvailableError


def import_arrow(module: str, what: str) -> tuple[Any, Any]:
    """Return pyarrow and its module of this name.

    Parameters
    ----------
    module : str
        Such as "parquet".
    what : str
        What needs it, for the message.

    Raises
    ------
    NotAvailableError
        It is not installed.
    """
    try:
        return importlib.import_module("pyarrow"), importlib.import_module(f"pyarrow.{module}")
    except ImportError as exc:
        raise NotAvailableError(
            f"{what} needs pyarrow; install it with: pip install 'pyarrow>=20'"
        ) from exc
