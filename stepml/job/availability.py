"""Choices of the job spec that this version lacks.

The spec describes the whole product. A choice that is not available yet is refused by name,
before anything starts.
"""

from __future__ import annotations

from typing import Any

from stepml.job.errors import NotAvailableError
from stepml.job.models import MODELS

AVAILABLE_MODELS = tuple(name for name, model in MODELS.items() if model.is_available)


def refuse_unavailable_choices(document: Any) -> None:
    """Raise `NotAvailableError` if ``document`` asks for a model that is not available yet.

    Messages about the fields of such a model would not help, so this check comes first.
    """
    chosen = document.get("model") if isinstance(document, dict) else None
    name = chosen.get("name") if isinstance(chosen, dict) else None
    if isinstance(name, str) and name in MODELS and name not in AVAILABLE_MODELS:
        raise model_not_available(name)


def model_not_available(name: str) -> NotAvailableError:
    """Return the error for a model that this version does not have."""
    return NotAvailableError(
        f"model {name!r} is not available yet; available: {', '.join(AVAILABLE_MODELS)}"
    )
