"""The asynchronous rules: every push changes the model at once, and everybody gets it as it is.

Bounded staleness (Ho et al., NIPS 2013) is asked of whoever pulls: a rank that is too many updates
ahead of the slowest waits for it.

A model lies as the message that is sent. What is being sent must not change, so an update of a
model that somebody reads goes to another block, and one that nobody reads stays in place.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from comm.exchange import SHARED_HEAD as HEAD
from comm.wire import Draft, Message, message_bytes
from ps_server.protocol.calls import JobSettings, Pushed, ServerUpdate, StepStatus
from ps_server.protocol.refusals import DamagedVector, InvalidRequest, StepForgotten
from ps_server.state.memory import Block, Memory
from ps_server.state.rules import Rule, decoded, require_like
from stepml.job.step import Step
from stepml.ml.algorithms.descent import Descent

Floats = npt.NDArray[np.float32]


class Models(Rule):
    """The models of an asynchronous job: one for each epoch.

    ``Step(epoch, 0)`` is the model as somebody creates it; ``Step(epoch, n)`` a rank's update n.
    """

    def __init__(self, settings: JobSettings, memory: Memory) -> None:
        super().__init__(settings, memory)
        if settings.compression != "none":
            raise InvalidRequest(
                f"compression: expected 'none' with rule {settings.rule!r}, "
                f"got {settings.compression!r}"
            )
        self._update = settings.parsed_update()
        self._models: dict[int, _Model] = {}

    def needs(self, step: Step, rank: int, attempt: str) -> bool:
        if step.batch == 0:
            return step.epoch not in self._models
        model = self._model(step)
        applied = model.applied[rank]
        if applied < step.batch - 1 and not model.is_restored:
            raise StepForgotten(
                f"{step} of rank {rank}: the model has its updates up to {int(applied)}"
            )
        return bool(applied < step.batch)

    def push(
        self, step: Step, rank: int, attempt: str, block: Block, message: Message, based_on: int
    ) -> Pushed:
        try:
            if not self.needs(step, rank, attempt):
                return self.repeated(step, rank)
            if step.batch == 0:
                self._models[step.epoch] = self._created(message)
                return Pushed(is_repeated=False)
            model = self._model(step)
            name = f"rank {rank}'s push to {step}"
            require_like(message, model.expected, name)
            if len(block.data) != message_bytes(
                message.vector.size, message.vector.dtype, message.trailer.size
            ):
                raise DamagedVector(f"{name}: expected uncompressed numbers")
            staleness = model.version - based_on
            if staleness < 0 and not model.is_restored:
                raise StepForgotten(
                    f"the model has version {model.version}, {name} is based on {based_on}: it has "
                    "been made anew"
                )
            change = message.vector
            if self._update is not None:  # it is turned into a step where it lies
                change = Draft.over(block.data, message).vector
            model.apply(step, rank, change, message.trailer, max(0, staleness))
            return Pushed(is_repeated=False, version=model.version, staleness=max(0, staleness))
        finally:
            block.drop()

    def repeated(self, step: Step, rank: int) -> Pushed:
        return Pushed(is_repeated=True, version=self._model(step).version)

    def missing(self, step: Step, rank: int, attempt: str) -> list[int]:
        model = self._model(step)
        # Of a restored model, ranks that have made all their updates do not push again.
        if self.settings.rule == "asynchronous" or model.is_restored:
            return []
        least = step.batch - self.settings.max_staleness
        return [int(each) for each in np.flatnonzero(model.applied < least)]

    def wakes(self, step: Step) -> bool:
        return self.settings.rule == "stale_synchronous"

    def pulled(self, step: Step, rank: int) -> Block:
        return self._model(step).sealed().hold()

    def status(self, step: Step) -> StepStatus:
        model = self._models.get(step.epoch)
        if model is None:
            return StepStatus((), is_complete=False)
        ranks = tuple(int(each) for each in np.flatnonzero(model.applied >= step.batch))
        return StepStatus(ranks, len(ranks) == self.settings.world_size)

    def frontier(self, attempt: str, epoch: int) -> int:
        model = self._models.get(epoch)
        return 0 if model is None else int(model.applied.max())

    def forget(self, through: Step) -> None:
        pass  # a model has no steps to let go of

    def reset(self, epoch: int) -> None:
        for each in [each for each in self._models if epoch in (0, each)]:
            self._models.pop(each).close()

    def evict(self) -> bool:
        return False

    def blocks(self) -> Iterator[Block]:
        for model in self._models.values():
            yield from model.blocks()

    @property
    def n_steps(self) -> int:
        return len(self._models)

    def models(self) -> Iterator[_Model]:
        """Yield the models."""
        yield from self._models.values()

    def export(self) -> tuple[dict[str, Any], list[Block]]:
        models, blocks = [], []
        for epoch, model in self._models.items():
            models.append([epoch, model.export()])
            model.sealed()
            blocks += [block.hold_for_snapshot() for block in model.blocks()]
        return {"models": models}, blocks

    def restore(self, fields: dict[str, Any], blocks: Iterator[Block]) -> None:
        for epoch, described in fields["models"]:
            model = _Model(next(blocks), self.settings, self._update, self.memory)
            model.restore(described, blocks)
            self._models[epoch] = model

    def _model(self, step: Step) -> _Model:
        model = self._models.get(step.epoch)
        if model is None:
            raise StepForgotten(f"there is no model of epoch {step.epoch}")
        return model

    def _created(self, message: Message) -> _Model:
        size, dtype, n_totals = message.vector.size, message.vector.dtype, message.trailer.size
        if self._update is not None and dtype != np.float32:
            raise InvalidRequest(f"server_update: expected a model of float32, got {dtype}")
        n_trailer = HEAD + self.settings.world_size + n_totals
        block = self.memory.take(message_bytes(size, dtype, n_trailer))
        draft = Draft(size, dtype, n_trailer, block.data)
        draft.vector[:], draft.trailer[:] = message.vector, 0
        draft.finish()
        return _Model(block, self.settings, self._update, self.memory)


class _Optimiser:
    """The optimiser of a model, which the server runs; its moments lie in a block."""

    def __init__(self, told: ServerUpdate, n_parameters: int, memory: Memory) -> None:
        self.steps = 0
        self._told = told
        self._descent = Descent.of(told.descent, told.max_epochs)
        self._memory = memory
        self._shape = self._descent.optimiser.n_moments, n_parameters
        self.block = memory.take(4 * self._shape[0] * n_parameters)
        self.block.data[:] = 0

    def own(self) -> None:
        """Have the moments in a block that nobody reads."""
        if self.block.is_shared:
            read, self.block = self.block, self._memory.take(len(self.block.data))
            np.copyto(self.block.data, read.data)
            read.drop()

    def turn(self, gradient: Floats, step: Step) -> None:
        """Turn a gradient into what is to be taken from the model."""
        self.steps += 1
        epochs = step.epoch - 1 + (step.batch - 0.5) / self._told.n_updates
        rate = self._descent.schedule.at(epochs)
        moments = self.block.data.view(np.float32).reshape(self._shape)
        self._descent.optimiser.step(gradient, moments, rate, self.steps)


class _Model:
    """One model, in the message that is pulled."""

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
        self._draft = Draft.over(block.data, message)
        self._is_sealed = True
        vector = np.broadcast_to(np.zeros((), message.vector.dtype), message.vector.shape)
        self.expected = Message(vector, np.zeros(self._n_totals))
        self._optimiser = None
        if update is not None:
            self._optimiser = _Optimiser(update, message.vector.size, memory)

    @property
    def version(self) -> int:
        """Updates that it consists of, or did before some were lost."""
        return int(self._draft.trailer[0])

    @property
    def staleness_sum(self) -> int:
        return int(self._draft.trailer[1])

    @property
    def staleness_max(self) -> int:
        return int(self._draft.trailer[2])

    @property
    def lost(self) -> int:
        """Updates that were acknowledged before a restart, and are not in it."""
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
        told: npt.NDArray[np.float64],
        staleness: int,
    ) -> None:
        """Take an update; ``change`` may be overwritten.

        What fails for want of memory changes nothing.
        """
        target = self._memory.take(len(self.block.data)) if self.block.is_shared else None
        if self._optimiser is not None:
            try:
                self._optimiser.own()
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
        trailer[HEAD + self._world_size :] += told

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
        """Go on from what was exported; the model's block has been taken from ``blocks``."""
        self.is_restored = True
        if self._optimiser is not None:
            self._optimiser.steps = fields["steps"]
            self._optimiser.block.drop()
            self._optimiser.block = next(blocks)
