"""The presence of torch."""

from __future__ import annotations

from stepml.job.errors import NotAvailableError
from stepml.job.installing import install_command


def require_torch(what: str) -> None:
    """Raise `NotAvailableError`, with the command that helps, if ``what`` lacks torch."""
    try:
        import torch  # noqa: F401
    except ImportError as error:
        raise NotAvailableError(
            f"{what} needs torch, which is not installed: run {install_command('torch')}"
        ) from error
