"""Options of benchmarks that choose some of several cases."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence


def some_of(choices: Sequence[str]) -> Callable[[str], list[str]]:
    """Return a parser of names from ``choices``, separated by commas."""

    def parse(text: str) -> list[str]:
        chosen = text.split(",")
        if unknown := [each for each in chosen if each not in choices]:
            raise argparse.ArgumentTypeError(
                f"expected some of {','.join(choices)}, got {','.join(unknown)}"
            )
        return chosen

    return parse
