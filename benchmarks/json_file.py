"""The file with the figures of a benchmark."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def write_json(path: Path | None, figures: Sequence[dict[str, Any]]) -> None:
    """Write ``figures`` to ``path``, if there is one."""
    if path is None:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(figures, indent=2) + "\n")
