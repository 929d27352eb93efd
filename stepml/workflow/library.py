"""The import of the SDK, which has effects of its own."""

from __future__ import annotations

import logging
import warnings
from importlib import import_module
from typing import Any

from stepml.job.errors import NotAvailableError
from stepml.job.installing import install_command


def sdk_module(name: str) -> Any:
    """Return a module of the SDK, such as ``stepfunctions.steps``.

    The SDK's code has constructs that Python warns of, and its import silences the root logger.
    Neither reaches the caller.

    Raises
    ------
    NotAvailableError
        The SDK, or a library that it needs, is not installed.
    """
    root = logging.getLogger()
    level = root.level
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return import_module(name)
    except ImportError as error:
        raise NotAvailableError(
            f"stepml.workflow needs the AWS Step Functions Data Science SDK ({error}): "
            f"run {install_command('sdk')}"
        ) from error
    finally:
        root.setLevel(level)
