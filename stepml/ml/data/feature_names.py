"""Names of features, for messages and for the model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from stepml.ml.data.encoding import Encoder


class NamedFeatures(Protocol):
    """Features with titles: those of a `Layout`, or of a table with categories."""

    @property
    def fine(self) -> Sequence[int]:
        """The features with remainders."""
        ...

    def feature_title(self, feature: int, /) -> str:
        """Return the title of a feature for messages."""
        ...


class TableFeatures:
    """The features of a table that has other columns than numbers."""

    def __init__(self, encoder: Encoder) -> None:
        self.fine: Sequence[int] = encoder.fine
        self._features = list(encoder.features())

    def feature_title(self, feature: int, /) -> str:
        found = self._features[feature]
        return found.column.title if found.role == "value" else f"feature {found.name!r}"
