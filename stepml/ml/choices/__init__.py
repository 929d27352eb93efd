"""The values of a job's open fields that depend on its data.

They are pure functions of the job and of facts about its data, which depend neither on the channel
nor on failures.
"""

from __future__ import annotations

from stepml.ml.choices.pace import with_pace
from stepml.ml.choices.penalty import with_penalty
from stepml.ml.choices.rates import rate_is_open, with_rate
from stepml.ml.choices.rescaling import with_scaling
from stepml.ml.choices.room import with_room
from stepml.ml.choices.sharing import note_on_batch, with_shared_batch
from stepml.ml.choices.start import rho_is_open, with_rho, with_start

__all__ = [
    "note_on_batch",
    "rate_is_open",
    "rho_is_open",
    "with_pace",
    "with_penalty",
    "with_rate",
    "with_rho",
    "with_room",
    "with_scaling",
    "with_shared_batch",
    "with_start",
]
