"""The present top-level state of an execution: a redrive starts there, with the same input."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any

from moto.stepfunctions.parser.asl.component.state.state import CommonStateField

from stepml.local.engine.journal import journal
from stepml.local.seams import Seams

seams = Seams()

_evaluate_state = CommonStateField._eval_body


@dataclass(slots=True)
class Checkpoint:
    """A top-level state, and the results in it that a redrive can reuse."""

    state: str  # its name
    input: Any
    reused: dict[int, Any] = field(default_factory=dict)  # of a Map: results before the redrive
    finished: dict[int, Any] = field(default_factory=dict)  # of a Map: results of this attempt

    def begin_attempt(self) -> dict[int, Any]:
        """Return the initial results of an attempt of the Map; only the first one reuses any."""
        self.finished, self.reused = self.reused, {}
        return dict(self.finished)

    def redriven(self, *, whole: bool) -> Checkpoint:
        """Return the checkpoint for a redrive; with ``whole``, a Map repeats all iterations."""
        reused = {} if whole else {**self.reused, **self.finished}
        return Checkpoint(self.state, self.input, reused=reused)


@seams.replaces(
    CommonStateField, "_eval_body", why="does not record the state that an execution is in"
)
def evaluate_state(self: Any, env: Any) -> None:
    if not env.is_frame():
        _enter(env.event_manager, self.name, env.states.get_input())
    _evaluate_state(self, env)


def _enter(manager: Any, name: str, state_input: Any) -> None:
    # Under the history's lock: a late thread of an ended run changes nothing.
    with manager._mutex:
        if not manager.has_ended:
            manager.checkpoint = manager.resumed or Checkpoint(name, state_input)
            manager.resumed = None
            write(manager, manager.checkpoint, manager.checkpoint.reused)


def write(manager: Any, checkpoint: Checkpoint, results: dict[int, Any]) -> None:
    """Note in the journal that an execution is at ``checkpoint``, with the results of its Map."""
    journal().entered(manager.arn, checkpoint.state, checkpoint.input, results)


def keep_result(manager: Any, checkpoint: Checkpoint, index: int, result: Any) -> None:
    """Record the result of an iteration of the Map at ``checkpoint``, unless its run has ended."""
    with manager._mutex:
        if not manager.has_ended:
            checkpoint.finished[index] = copy.deepcopy(result)
            journal().finished(manager.arn, index, result)
