"""Numbers as pieces store them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def to_float32(values: NDArray[Any]) -> NDArray[np.float32]:
    """Return ``values`` as float32; values that are too large become infinite."""
    with np.errstate(over="ignore"):
        return values.astype(np.float32)


def as_stored(values: NDArray[Any]) -> NDArray[Any]:
    """Return the values of dense rows as pieces store them: bytes as they are, others as float32.

    Values that are too large become infinite.
    """
    return values if values.dtype == np.uint8 else to_float32(values)
