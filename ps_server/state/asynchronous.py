"""The asynchronous rules: every push changes the model at once, and pulls get its present state.

Bounded staleness (Ho et al., NIPS 2013) holds up pulls: a rank that is too many updates ahead of
the slowest one waits for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from comm.exchange import SHARED_HEAD as HEAD
from comm.wire import Draft, Message, message_bytes
from ps_server.protocol.calls import JobSettings, Pushed, StepStatus
from ps_server.protocol.refusals import DamagedVector, InvalidRequest, StepForgotten
from ps_server.state.memory import Block, Memory
from ps_server.state.model import SharedModel
from ps_server.state.rules import Rule, draft_over, require_like
from stepml.job.step import Step


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
                change = draft_over(block.data, message).vector
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
        pass  # a model has no steps to drop

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

    def models(self) -> Iterator[SharedModel]:
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
            model = SharedModel(next(blocks), self.settings, self._update, self.memory)
            model.restore(described, blocks)
            self._models[epoch] = model

    def _model(self, step: Step) -> SharedModel:
        model = self._models.get(step.epoch)
        if model is None:
            raise StepForgotten(f"there is no model of epoch {step.epoch}")
        return model

    def _created(self, message: Message) -> SharedModel:
        size, dtype, n_totals = message.vector.size, message.vector.dtype, message.trailer.size
        if self._update is not None and dtype != np.float32:
            raise InvalidRequest(f"server_update: expected a model of float32, got {dtype}")
        n_trailer = HEAD + self.settings.world_size + n_totals
        block = self.memory.take(message_bytes(size, dtype, n_trailer))
        draft = Draft(size, dtype, n_trailer, block.data)
        draft.vector[:], draft.trailer[:] = message.vector, 0
        draft.finish()
        return SharedModel(block, self.settings, self._update, self.memory)
