"""Rho of ADMM: it balances the ranks' disagreement with the steps of their consensus."""

from __future__ import annotations

from typing import Literal

from stepml.ml.algorithms.state import Residuals
from stepml.ml.models.base import LossModel

Rule = Literal["relative"] | bool

# Where l1 makes all coefficients 0, the consensus rests, and rho would rise beyond float32.
_SMALLEST, _LARGEST = 1e-12, 1e12
_FACTOR = 2.0
# A residual so many times the other one changes rho: as it is (Boyd et al. 2011, section 3.4.1), or
# relative to its size (Wohlberg, 2017). The former depends on the scale of the objective: where the
# curvature is far below 1, it raises rho until the consensus hardly moves.
_IMBALANCE, _RELATIVE_IMBALANCE = 10.0, 3.0
_OF_PENALTY = 2.0


def next_rho(rule: Rule, rho: float, residuals: Residuals | None) -> float:
    """Return rho for the next epoch.

    Parameters
    ----------
    rule : bool or "relative"
        ``algorithm.adaptive_rho``.
    rho : float
    residuals : Residuals, optional
        Of the epoch before.
    """
    if residuals is None or not rule:
        return rho
    primal, dual, imbalance = residuals.primal, residuals.dual, _IMBALANCE
    if rule == "relative":  # each divided by its size, but sizes may be 0
        primal, dual = primal * residuals.dual_size, dual * residuals.primal_size
        imbalance = _RELATIVE_IMBALANCE
    if primal > imbalance * dual and rho < _LARGEST:
        return rho * _FACTOR
    if dual > imbalance * primal and rho > _SMALLEST:
        return rho / _FACTOR
    return rho


def rho_behind_start(rho: float, model: LossModel, rank_rows: float) -> float:
    """Return rho for the second epoch of ranks that began at the minimum of a sample.

    Their duals have the gradient of all rows by then, so each rank goes near the minimum of all
    rows by itself. Its own curvature differs from theirs by about parameters / rows, for which rho
    makes up. With a smaller one than the curvature of the penalty, the consensus would hardly move.
    With l1, rho stays: the ranks do not know it, so alone they would go to another minimum.

    Parameters
    ----------
    rho : float
        That of the first epoch.
    model : LossModel
    rank_rows : float
        Rows of a rank.
    """
    if model.penalty.l1:
        return rho
    suited = rho * min(1.0, model.n_parameters / rank_rows)
    return min(rho, max(suited, _OF_PENALTY * model.penalty.l2, _SMALLEST))
