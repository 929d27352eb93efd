"""The asynchronous rules: every push changes the model at once, and pulls get its present state.

Bounded staleness (Ho et al., NIPS 2013) holds up pulls: a rank that is too many updates ahead of
the slowest one waits for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from comm.exchange import SHARED_HEAD as HEAD
from comm.wire import Draft, Message, message_bytes
from ps_server.protocol.calls import JobSettings, Pushed, ServerUpdate, StepStatus, Target
from ps_server.protocol.refusals import DamagedVector, InvalidRequest, StepForgotten
from ps_server.state.memory import Block, Memory
from ps_server.state.rules import Rule, Shape, decoded
from stepml.job.step import Step
from stepml.ml.algorithms.descent import Descent


class Models(Rule):
    """The models of an asynchronous job: one for each epoch.

    ``Step(epoch, 0)`` is the new model; ``Step(epoch, n)`` is update n of a rank.
    """

    def __init__(self, settings: JobSettings, memory: Memory) -> None:
        super().__init__(settings, memory)
        if settings.compression != "none":
            raise InvalidRequest(
                f"compression: expected 'none' with rule {settings.rule!r}, "
                f"got {settings.compression!r}"
            )
        self._update = settings.parsed_update()
        self._models: dict[int, SharedModel] = {}

    def repeated(self, target: Target) -> Pushed | None:
        step, rank = target.step, target.rank
        if step.batch == 0 and step.epoch not in self._models:
            return None
        model = self._model(step)
        applied = model.applied[rank]
        if applied < step.batch - 1 and not model.is_restored:
            raise StepForgotten(
                f"{step} of rank {rank}: the model has its updates up to {int(applied)}"
            )
        return None if applied < step.batch else Pushed(is_repeated=True, version=model.version)

    def push(self, target: Target, block: Block, message: Message) -> Pushed:
        try:
            repeated = self.repeated(target)
            if repeated is not None:
                return repeated
            if message.vector.dtype == np.float16:
                raise DamagedVector(f"{target}: expected uncompressed numbers")
            if target.step.batch > 0:
                return self._updated(target, block, message)
            self._models[target.step.epoch] = self._created(message)
            return Pushed(is_repeated=False)
        finally:
            block.drop()

    def missing(self, target: Target) -> list[int]:
        model = self._model(target.step)
        # Of a restored model, ranks that have made all their updates do not push again.
        if self.settings.rule == "asynchronous" or model.is_restored:
            return []
        least = target.step.batch - self.settings.max_staleness
        return [int(each) for each in np.flatnonzero(model.applied < least)]

    def wakes(self, step: Step) -> bool:
        return self.settings.rule == "stale_synchronous"

    def pulled(self, target: Target) -> Block:
        return self._model(target.step).block.hold()

    def status(self, step: Step) -> StepStatus:
        model = self._models.get(step.epoch)
        if model is None:
            return StepStatus((), is_complete=False)
        ranks = tuple(int(each) for each in np.flatnonzero(model.applied >= step.batch))
        return StepStatus(ranks, len(ranks) == self.settings.world_size)

    def frontier(self, attempt: str, epoch: int) -> int:
        model = self._models.get(epoch)
        return 0 if model is None else int(model.applied.max())

    def reset(self, epoch: int) -> None:
        for each in [each for each in self._models if epoch in (0, each)]:
            for block in self._models.pop(each).blocks():
                block.drop()

    def blocks(self) -> Iterator[Block]:
        for model in self._models.values():
            yield from model.blocks()

    @property
    def n_steps(self) -> int:
        return len(self._models)

    def figures(self) -> dict[str, int]:
        heads = [model.head for model in self._models.values()]
        return {
            "updates": sum(int(head[0]) for head in heads),
            "staleness_sum": sum(int(head[1]) for head in heads),
            "staleness_max": max((int(head[2]) for head in heads), default=0),
            "lost_updates": sum(int(head[3]) for head in heads),
        }

    def export(self) -> dict[str, Any]:
        return {"models": [[epoch, model.export()] for epoch, model in self._models.items()]}

    def restore(self, fields: dict[str, Any], blocks: Iterator[Block]) -> None:
        for epoch, described in fields["models"]:
            model = SharedModel(next(blocks), self.settings, self._update, self.memory)
            model.restore(described, blocks)
            self._models[epoch] = model

    def _model(self, step: Step) -> SharedModel:
        model = self._models.get(step.epoch)
        if model is None:
            raise StepForgotten(f"there is no model of epoch {step.epoch}")
        return model

    def _updated(self, target: Target, block: Block, message: Message) -> Pushed:
        model = self._model(target.step)
        model.shape.require(Shape.of(message), target)
        staleness = model.version - target.based_on
        if staleness < 0 and not model.is_restored:
            raise StepForgotten(
                f"the model has version {model.version}, {target} is based on {target.based_on}: "
                "it has been made anew"
            )
        change = message.vector
        if self._update is not None:  # it is turned into a step where it lies
            change = Draft(*Shape.of(message), block.data).vector
        model.apply(target, change, message.trailer, max(0, staleness))
        return Pushed(is_repeated=False, version=model.version, staleness=max(0, staleness))

    def _created(self, message: Message) -> SharedModel:
        size, dtype = message.vector.size, message.vector.dtype
        if self._update is not None and dtype != np.float32:
            raise InvalidRequest(f"server_update: expected a model of float32, got {dtype}")
        n_trailer = HEAD + self.settings.world_size + message.trailer.size
        block = self.memory.take(message_bytes(size, dtype, n_trailer))
        draft = Draft(size, dtype, n_trailer, block.data)
        draft.vector[:], draft.trailer[:] = message.vector, 0
        draft.finish()
        return SharedModel(block, self.settings, self._update, self.memory)


class SharedModel:
    """One model, stored as the message that is pulled.

    A message being sent must not change, so an update goes to another block while the present one
    is read, and is made in place otherwise.
    """

    def __init__(
        self, block: Block, settings: JobSettings, update: ServerUpdate | None, memory: Memory
    ) -> None:
        self.is_restored = False
        self.block = block  # may be sent as it is
        self._memory = memory
        self._totals = HEAD + settings.world_size  # where they begin in the trailer
        self._message = decoded(block.data.data, "a model")
        size, dtype, n_trailer = self._layout = Shape.of(self._message)
        self.shape = Shape(size, dtype, n_trailer - self._totals)  # of updates
        self._optimiser = None if update is None else _Optimiser(update, size, memory)

    @property
    def head(self) -> npt.NDArray[np.float64]:
        """Numbers of updates, their staleness, its maximum, and updates that a restart lost."""
        return self._message.trailer[:HEAD]

    @property
    def version(self) -> int:
        """Number of updates, with those that a restart lost."""
        return int(self.head[0])

    @property
    def applied(self) -> npt.NDArray[np.float64]:
        """The last update of each rank, by rank."""
        return self._message.trailer[HEAD : self._totals]

    def apply(
        self,
        target: Target,
        change: npt.NDArray[Any],
        totals: npt.NDArray[np.float64],
        staleness: int,
    ) -> None:
        """Apply an update, which may overwrite ``change``; without memory nothing changes."""
        if self._optimiser is not None:
            self._optimiser.block = self._optimiser.block.owned()
        block = self._memory.take(len(self.block.data)) if self.block.is_shared else self.block
        if self._optimiser is not None:
            self._optimiser.turn(change, target.step)
            np.negative(change, out=change)
        counted = self._counted(target, staleness, totals)
        draft, read = Draft(*self._layout, block.data), self.block
        if block is not read:
            draft.vector[:], draft.trailer[:] = self._message.vector, self._message.trailer
        draft.trailer[2] = max(draft.trailer[2], staleness)
        self.block = block
        self._message, _ = draft.finish(others=[Message(change, counted)])
        if block is not read:
            read.drop()

    def blocks(self) -> Iterator[Block]:
        """Yield the model's block, then the optimiser's."""
        yield self.block
        if self._optimiser is not None:
            yield self._optimiser.block

    def export(self) -> dict[str, Any]:
        return {"steps": 0 if self._optimiser is None else self._optimiser.steps}

    def restore(self, fields: dict[str, Any], blocks: Iterator[Block]) -> None:
        """Continue from exported fields; the model's block has been taken from ``blocks``."""
        self.is_restored = True
        if self._optimiser is not None:
            self._optimiser.steps = fields["steps"]
            self._optimiser.block.drop()
            self._optimiser.block = next(blocks)

    def _counted(
        self, target: Target, staleness: int, totals: npt.NDArray[np.float64]
    ) -> npt.NDArray[np.float64]:
        """Return the numbers that an update adds to the trailer."""
        rank, ahead = target.rank, target.step.batch - self.applied[target.rank]
        counted = np.zeros(self._layout.n_trailer)
        counted[:HEAD] = 1, staleness, 0, max(0, ahead - 1)
        counted[HEAD + rank], counted[self._totals :] = ahead, totals
        return counted


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
