"""pyarrow, if it is installed."""

from __future__ import annotations

from typing import Any

from stepml.job.errors import NotAvailableError
from stepml.job.installing import install_command


def pyarrow_modules() -> tuple[Any, Any]:
    """Return pyarrow and its module for Parquet.

    Raises
    ------
    NotAvailableError
        pyarrow is not installed.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as exc:
        raise NotAvailableError(
            f"Parquet needs pyarrow; install it with: {install_command('parquet')}"
        ) from exc
    return pyarrow, pyarrow.parquet
