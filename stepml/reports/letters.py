"""Short names of runs in tables and charts."""

from __future__ import annotations

from string import ascii_uppercase


def run_letters(number: int) -> list[str]:
    """Return A, B, …, Z, A2, B2, … for so many runs."""
    rounds = range(1, number // len(ascii_uppercase) + 2)
    names = (
        letter if each == 1 else f"{letter}{each}" for each in rounds for letter in ascii_uppercase
    )
    return [name for name, _ in zip(names, range(number), strict=False)]
