"""The directory for the state of the local AWS."""

from __future__ import annotations

import os
from pathlib import Path

RECORD = "local.json"  # of the local AWS that was started last


def state_directory() -> Path:
    """Return ``$STEPML_STATE_DIR``, or the directory of the XDG specification."""
    chosen = os.environ.get("STEPML_STATE_DIR")
    if chosen:
        return Path(chosen)
    base = os.environ.get("XDG_STATE_HOME")
    return (Path(base) if base else Path.home() / ".local" / "state") / "stepml"
