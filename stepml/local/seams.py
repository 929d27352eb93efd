"""The places where moto is changed, each with the reason.

moto is pinned, as a seam depends on the behaviour of one version. ``tests/services/test_seams.py``
shows for every seam that unmodified moto needs it, so an upgrade reveals those that can go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

Replacement = TypeVar("Replacement")


@dataclass(frozen=True, slots=True)
class Seam:
    """One attribute of moto that the local AWS replaces."""

    owner: Any  # the class or module that has the attribute
    name: str  # the attribute
    replacement: Any
    why: str  # moto's behaviour without it
    kind: Callable[[Any], Any]  # turns a function into the attribute: classmethod, property …

    @property
    def label(self) -> str:
        return f"{self.owner.__name__}.{self.name}"

    def apply(self) -> None:
        setattr(self.owner, self.name, self.kind(self.replacement))


class Seams:
    """The seams of one module, collected by a decorator and installed by `apply`."""

    def __init__(self) -> None:
        self._seams: list[Seam] = []

    def __iter__(self) -> Iterator[Seam]:
        return iter(self._seams)

    def replaces(
        self,
        owner: Any,
        name: str,
        *,
        why: str,
        kind: Callable[[Any], Any] = lambda function: function,
    ) -> Callable[[Replacement], Replacement]:
        """Register a function as the replacement of ``owner.name``, installed by `apply`."""

        def register(replacement: Replacement) -> Replacement:
            self._seams.append(Seam(owner, name, replacement, why, kind))
            return replacement

        return register

    def apply(self) -> None:
        for seam in self._seams:
            seam.apply()
