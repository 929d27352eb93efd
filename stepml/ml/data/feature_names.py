"""Names of features, for messages and for the model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from stepml.ml.data.column_encoders import Flags
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

    def titles_of(self, found: Flags, /) -> list[str]:
        """Return the titles of the columns all of whose features are ``found``."""
        ...

    def are_scaled(self) -> Flags | None:
        """Return whether scaling applies to each feature; None: it applies to all."""
        ...


class TableFeatures:
    """The features of a table that has other columns than numbers."""

    def __init__(self, encoder: Encoder) -> None:
        self.fine: Sequence[int] = encoder.fine
        self._encoder = encoder
        self._features = list(encoder.features())

    def feature_title(self, feature: int, /) -> str:
        found = self._features[feature]
        return found.column.title if found.role == "value" else f"feature {found.name!r}"

    def titles_of(self, found: Flags, /) -> list[str]:
        return [
            column.title
            for column, own in self._encoder.spans()
            if len(own) and np.all(found[own.start : own.stop])
        ]

    def are_scaled(self) -> Flags | None:
        return self._encoder.are_scaled()
