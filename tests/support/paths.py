"""Folders of the checkout that tests read."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]
APPLICATION = Path(__file__).parent / "app"  # a stack of small functions for the local AWS
SHARED_DATA = ROOT.parent / "shared" / "data"  # real data beside the checkout; absent elsewhere
