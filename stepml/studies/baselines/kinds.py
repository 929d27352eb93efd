"""The baselines that a study may have."""

from __future__ import annotations

from typing import Final, Literal, get_args

SCIKIT_LEARN: Final = "scikit-learn"
VM: Final = "vm"
Baseline = Literal["scikit-learn", "vm"]
BASELINES: tuple[Baseline, ...] = get_args(Baseline)
