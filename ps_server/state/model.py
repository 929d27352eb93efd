"""A model that ranks share, and the optimiser that the server may run on it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from comm.exchange import SHARED_HEAD as HEAD
from comm.wire import Draft, Message
from ps_server.protocol.calls import JobSettings, ServerUpdate
from ps_server.state.memory import Block, Memory
from ps_server.state.rules import decoded, draft_over
from stepml.job.step import Step
from stepml.ml.algorithms.descent import Descent


class _Optimiser:
    """The optimiser that the server runs on a model; a block holds its moments."""

    def __init__(self, update: ServerUpdate, n_parameters: int, memory: Memory) -> None:
        self.steps = 0
        self._update = update
        self._descent = Descent.of(update.descent, update.max_epochs)
        self._shape = self._descent.optimiser.n_moments, n_parameters
        self.block = memory.take(4 * self._shape[0] * n_parameters)
        self.block.data[:] = 0

    def turn(self, gradient: npt.NDArray[np.float32], step: Step) -> None:
        """Turn a gradient into the step to subtract from the model, in place."""
        self.steps += 1
        epochs = step.epoch - 1 + (step.batch - 0.5) / self._update.n_updates
        rate = self._descent.schedule.at(epochs)
        moments = self.block.data.view(np.float32).reshape(self._shape)
        self._descent.optimiser.step(gradient, moments, rate, self.steps)


class SharedModel:
    """One model, stored as the message that is pulled.

    A message being sent must not change, so an update goes to another block while the present one
    is read, and is made in place otherwise.
    """

    def __init__(
        self, block: Block, settings: JobSettings, update: ServerUpdate | None, memory: Memory
    ) -> None:
        self.block = block
        self.is_restored = False
        self._memory = memory
        self._world_size = settings.world_size
        message = decoded(block, "a model")
        self._n_totals = message.trailer.size - HEAD - settings.world_size
        self.expected = Message(np.empty(0), np.empty(0))  # what an update has to be like
        self._draft = draft_over(block.data, message)
        self._is_sealed = True
        vector = np.broadcast_to(np.zeros((), message.vector.dtype), message.vector.shape)
        self.expected = Message(vector, np.zeros(self._n_totals))
        self._optimiser = None
        if update is not None:
            self._optimiser = _Optimiser(update, message.vector.size, memory)

    @property
    def version(self) -> int:
        """Number of updates, with those that a restart lost."""
        return int(self._draft.trailer[0])

    @property
    def staleness_sum(self) -> int:
        return int(self._draft.trailer[1])

    @property
    def staleness_max(self) -> int:
        return int(self._draft.trailer[2])

    @property
    def lost(self) -> int:
        """Updates that were acknowledged, and that a restart lost."""
        return int(self._draft.trailer[3])

    @property
    def applied(self) -> npt.NDArray[np.float64]:
        """The last update of each rank, by rank."""
        found: npt.NDArray[np.float64] = self._draft.trailer[HEAD : HEAD + self._world_size]
        return found

    def apply(
        self,
        step: Step,
        rank: int,
        change: npt.NDArray[Any],
        totals: npt.NDArray[np.float64],
        staleness: int,
    ) -> None:
        """Apply an update, which may overwrite ``change``; without memory nothing changes."""
        target = self._memory.take(len(self.block.data)) if self.block.is_shared else None
        if self._optimiser is not None:
            try:
                self._optimiser.block = self._optimiser.block.owned()
            except BaseException:
                if target is not None:
                    target.drop()
                raise
            self._optimiser.turn(change, step)
            np.negative(change, out=change)
        before = self._draft
        if target is not None:
            read, self.block = self.block, target
            vector, trailer = before.vector, before.trailer
            self._draft = Draft(vector.size, vector.dtype, trailer.size, self.block.data)
            self._draft.trailer[:] = trailer
            np.add(vector, change, out=self._draft.vector)
            read.drop()
        else:
            if self._is_sealed:
                self._draft = Draft(
                    before.vector.size, before.vector.dtype, before.trailer.size, self.block.data
                )
            self._draft.vector += change
        self._is_sealed = False
        trailer = self._draft.trailer
        trailer[3] += max(0, step.batch - 1 - self.applied[rank])
        trailer[0] += 1
        trailer[1] += staleness
        trailer[2] = max(trailer[2], staleness)
        trailer[HEAD + rank] = step.batch
        trailer[HEAD + self._world_size :] += totals

    def sealed(self) -> Block:
        """Return the block, ready to be sent."""
        if not self._is_sealed:
            self._draft.finish()
            self._is_sealed = True
        return self.block

    def blocks(self) -> Iterator[Block]:
        """Yield the model's block, then the optimiser's."""
        yield self.block
        if self._optimiser is not None:
            yield self._optimiser.block

    def close(self) -> None:
        """Give all memory back."""
        for block in self.blocks():
            block.drop()

    def export(self) -> dict[str, Any]:
        return {"steps": 0 if self._optimiser is None else self._optimiser.steps}

    def restore(self, fields: dict[str, Any], blocks: Iterator[Block]) -> None:
        """Continue from exported fields; the model's block has been taken from ``blocks``."""
        self.is_restored = True
        if self._optimiser is not None:
            self._optimiser.steps = fields["steps"]
            self._optimiser.block.drop()
            self._optimiser.block = next(blocks)
