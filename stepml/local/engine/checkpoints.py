"""Where an execution is at its top level: the state that a redrive starts again, and its input."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any

from moto.stepfunctions.parser.asl.component.state.state import CommonStateField

from stepml.local.seams import Seams

seams = Seams()

_evaluate_state = CommonStateField._eval_body


@dataclass(slots=True)
class Checkpoint:
    """A state of the top level, and what of it need not be done again."""

    state: str  # its name
    input: Any
    kept: dict[int, Any] = field(default_factory=dict)  # Map: results of the run before a redrive
    finished: dict[int, Any] = field(default_factory=dict)  # Map: results of the attempt under way

    def begin_attempt(self) -> dict[int, Any]:
        """Return the results that an attempt of the Map begins with: those kept, the first time."""
        self.finished, self.kept = self.kept, {}
        return dict(self.finished)

    def redriven(self, *, whole: bool) -> Checkpoint:
        """Return where a redrive begins; ``whole``: a Map runs all its iterations again."""
        kept = {} if whole else {**self.kept, **self.finished}
        return Checkpoint(self.state, self.input, kept=kept)


@seams.replaces(
    CommonStateField, "_eval_body", why="keeps no note of the state that an execution is in"
)
def evaluate_state(self: Any, env: Any) -> None:
    if not env.is_frame():
        _enter(env.event_manager, self.name, env.states.get_input())
    _evaluate_state(self, env)


def _enter(manager: Any, name: str, state_input: Any) -> None:
    # Under the history's lock: a late thread of an ended run moves nothing.
    with manager._mutex:
        if not manager.has_ended:
            manager.checkpoint = manager.resumed or Checkpoint(name, state_input)
            manager.resumed = None


def keep_result(manager: Any, checkpoint: Checkpoint, index: int, result: Any) -> None:
    """Note that an iteration of the Map at ``checkpoint`` is through, unless all has ended."""
    with manager._mutex:
        if not manager.has_ended:
            checkpoint.finished[index] = copy.deepcopy(result)
