"""The penalty beside the loss: l1·‖c‖₁ + l2/2·‖c‖², where c are the coefficients."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stepml.ml.matrices import Floats, Floats64


@dataclass(frozen=True, slots=True)
class Penalty:
    """Factors of the penalty on the coefficients; intercepts have none.

    The smooth part, that of l2, has a gradient. The other part has a kink at 0; its proximal
    operator makes coefficients exactly 0 (Parikh and Boyd, 2014, section 6.5.2).
    """

    l1: float = 0.0
    l2: float = 0.0
    n_coefficients: int = 0  # they are the first parameters

    def value(self, w: Floats) -> float:
        """Return the penalty at ``w``."""
        coefficients = w[: self.n_coefficients].astype(np.float64)
        return self.l1 * float(np.abs(coefficients).sum()) + self.l2 / 2 * float(
            coefficients @ coefficients
        )

    def slope(self, w: Floats) -> Floats64:
        """Return the gradient at ``w``; where it has a kink, that of the smooth part, 0."""
        slope = np.zeros(len(w))
        coefficients = w[: self.n_coefficients].astype(np.float64)
        slope[: self.n_coefficients] = self.l1 * np.sign(coefficients) + self.l2 * coefficients
        return slope

    def curvature(self, n_parameters: int) -> Floats64:
        """Return the diagonal of the Hessian of the smooth part."""
        curvature = np.zeros(n_parameters)
        curvature[: self.n_coefficients] = self.l2
        return curvature

    def is_at_kink(self, w: Floats) -> npt.NDArray[np.bool_]:
        """Return for each parameter whether the penalty has a kink there."""
        kinks = np.zeros(len(w), np.bool_)
        if self.l1:
            kinks[: self.n_coefficients] = w[: self.n_coefficients] == 0
        return kinks

    def steepest(self, w: Floats, slope: Floats64) -> Floats64:
        """Return the shortest subgradient, given the sum of all gradients and `slope`.

        At a kink, the penalty resists every slope up to l1.
        """
        excess = slope - np.clip(slope, -self.l1, self.l1)
        return np.where(self.is_at_kink(w), excess, slope)

    def add_gradient(self, w: Floats, out: Floats) -> None:
        """Add the gradient of the smooth part at ``w`` to ``out``."""
        if self.l2:
            coefficients = slice(self.n_coefficients)
            out[coefficients] += np.float32(self.l2) * w[coefficients]

    def minimise_near(self, w: Floats, weight: float) -> None:
        """Replace ``w`` by the minimum of the whole penalty + weight/2·‖· − w‖², in place."""
        coefficients = w[: self.n_coefficients]
        if self.l1:
            threshold = np.float32(self.l1 / weight)
            coefficients -= np.clip(coefficients, -threshold, threshold)
        if self.l2:
            coefficients /= np.float32(1 + self.l2 / weight)
