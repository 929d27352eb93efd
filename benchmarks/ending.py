"""The end of a benchmark with targets."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from benchmarks.json_file import write_json


def ended(options: argparse.Namespace, figures: Sequence[Any]) -> int:
    """Write the figures to ``--json``; return the exit code, which is 1 if a target is missed.

    Parameters
    ----------
    options : Namespace
        With ``json`` and ``targets``; without the latter, no target counts.
    figures : sequence of dataclasses
        Each has ``misses``, a message for each missed target.
    """
    write_json(options.json, [asdict(each) for each in figures])
    misses = [miss for each in figures for miss in each.misses] if options.targets else []
    for miss in misses:
        print(f"missed: {miss}", file=sys.stderr)
    return 1 if misses else 0
