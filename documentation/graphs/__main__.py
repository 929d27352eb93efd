"""Writes the pictures of the state machines: ``python -m documentation.graphs``."""

from __future__ import annotations

import json
from pathlib import Path

from documentation.graphs.pictures import picture
from stepml.graphs.machines import machine_of

ROOT = Path(__file__).parents[2]
PICTURES = ROOT / "docs" / "pictures"
TITLES = {"train": "A job", "epoch": "An epoch", "ranks": "A group of ranks"}


def pictures() -> dict[Path, str]:
    """Return the text of each picture by its file."""
    found = {}
    for name, title in TITLES.items():
        definition = json.loads((ROOT / "state_machines" / f"{name}.asl.json").read_text())
        found[PICTURES / f"{name}.svg"] = picture(machine_of(definition), title)
    return found


if __name__ == "__main__":
    for path, text in pictures().items():
        path.write_text(text, encoding="utf-8")
        print(path.relative_to(ROOT))
