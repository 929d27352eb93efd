"""The baselines that a study may have."""

from __future__ import annotations

from typing import Literal, get_args

SCIKIT_LEARN = "scikit-learn"
VM = "vm"
Baseline = Literal["scikit-learn", "vm"]
BASELINES: tuple[Baseline, ...] = get_args(Baseline)
