"""The penalty beside the loss: l1·‖c‖₁ + l2/2·‖c‖², where c are the coefficients."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stepml.ml.matrices import Floats


@dataclass(frozen=True, slots=True)
class Penalty:
    """Factors of the penalty on the coefficients; intercepts have none.

    The smooth part has a gradient. The other part has a kink at 0; its proximal operator makes
    coefficients exactly 0 (Parikh and Boyd, 2014, section 6.5.2).
    """

    l1: float = 0.0
    l2: float = 0.0
    n_coefficients: int = 0  # they are the first parameters

    def add_gradient(self, w: Floats, out: Floats) -> None:
        """Add the gradient of the smooth part at ``w`` to ``out``."""
        if self.l2:
            coefficients = slice(self.n_coefficients)
            out[coefficients] += np.float32(self.l2) * w[coefficients]

    def shrink(self, w: Floats, step: float) -> None:
        """Apply, in place, the proximal operator of ``step`` times the part with a kink."""
        if self.l1:
            _soften(w[: self.n_coefficients], np.float32(step * self.l1))

    def minimise_near(self, w: Floats, weight: float) -> None:
        """Replace ``w`` by the minimum of the whole penalty + weight/2·‖· − w‖², in place."""
        coefficients = w[: self.n_coefficients]
        if self.l1:
            _soften(coefficients, np.float32(self.l1 / weight))
        if self.l2:
            coefficients /= np.float32(1 + self.l2 / weight)


def _soften(w: Floats, threshold: np.float32) -> None:
    """Move each number by ``threshold`` towards 0, but not beyond."""
    w -= np.clip(w, -threshold, threshold)
