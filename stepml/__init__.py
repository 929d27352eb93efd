"""StepML: distributed machine-learning training that needs no servers.

::

    model = stepml.load_model("runs/my-run")
"""

from __future__ import annotations

# The command handles Ctrl-C once this package is imported, so `typing` would take too long.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from stepml.model_loading import load_model
    from stepml.trained_model import TrainedModel

__version__ = "0.1.0"

__all__ = ["TrainedModel", "__version__", "load_model"]

_LAZY = {"load_model": "stepml.model_loading", "TrainedModel": "stepml.trained_model"}


def __getattr__(name: str) -> Any:
    # Functions import this package, too, and some do not need NumPy.
    if name in _LAZY:
        from importlib import import_module

        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
