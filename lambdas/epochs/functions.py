"""The time and the money of an epoch, by function and part."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np

from lambdas.attempts.costs import DIGITS, EpochBill
from lambdas.epochs.slices import Slices
from stepml.job.packed_times import unpack_times
from stepml.job.parts import (
    MOST_RANKS_LISTED,
    QUANTILES,
    FunctionTimes,
    Parts,
    communication_share,
)
from stepml.job.tasks import ReducerTask

START = "start"  # beside the parts, in the quantiles
_SECONDS_DIGITS, _SHARE_DIGITS = 4, 4


class Measured(NamedTuple):
    """The times of all functions of an epoch that are known."""

    functions: list[FunctionTimes]

    @classmethod
    def of(
        cls, task: ReducerTask, slices: Slices, reducer: FunctionTimes, channel: str
    ) -> Measured:
        """Return those in the results that the reducer has."""
        others = _ranks(task, channel), _mergers(task, channel), _of_slices(task, slices, channel)
        return cls([*(each for found in others for each in found if each is not None), reducer])

    @property
    def ranks(self) -> list[FunctionTimes]:
        """Those of the ranks."""
        return [each for each in self.functions if each.role == "rank"]

    @property
    def are_many(self) -> bool:
        """Whether the report has no room for them."""
        return len(self.ranks) > MOST_RANKS_LISTED

    def lines(self) -> bytes:
        """Return a line of JSON for each."""
        return b"".join(msgspec.json.encode(each) + b"\n" for each in self.functions)

    def fields(self, bill: EpochBill) -> dict[str, Any]:
        """Return the fields of the epoch's report."""
        ranks = self.ranks
        shares = communication_share(each.parts for each in ranks)
        return {
            "functions": [] if self.are_many else self.functions,
            "quantiles": _quantiles(ranks),
            "communication_share": round(shares, _SHARE_DIGITS) if ranks else None,
            "costs": _costs(self.functions, bill),
        }


def _ranks(task: ReducerTask, channel: str) -> Iterable[FunctionTimes | None]:
    for each in sorted(task.executors, key=lambda result: result.rank):
        yield unpack_times(each.times, "rank", each.rank, each.cost_usd, channel)


def _mergers(task: ReducerTask, channel: str) -> Iterable[FunctionTimes | None]:
    for chunk, each in enumerate(task.merged):
        if isinstance(each, tuple):
            cost_usd, text = each
            yield unpack_times(text, "merger", chunk, cost_usd, channel)


def _of_slices(task: ReducerTask, slices: Slices, channel: str) -> Iterable[FunctionTimes | None]:
    """Yield the merger of the whole epoch, numbered after those of chunks, and the evaluators."""
    number = len(task.merged)
    yield unpack_times(slices.merging_times, "merger", number, slices.merging_usd, channel)
    for part, (text, cost_usd) in enumerate(zip(slices.times, slices.costs_usd, strict=True)):
        yield unpack_times(text, "evaluator", part, cost_usd, channel)


def _quantiles(ranks: Sequence[FunctionTimes]) -> dict[str, list[float]]:
    """Return the quantiles of start and parts, without those that no rank has."""
    if not ranks:
        return {}
    rows = np.array([[each.start, *msgspec.structs.astuple(each.parts)] for each in ranks])
    names = (START, *Parts.__struct_fields__)
    found = np.quantile(rows, QUANTILES, axis=0).round(_SECONDS_DIGITS)
    return {name: found[:, n].tolist() for n, name in enumerate(names) if found[:, n].any()}


def _costs(functions: Sequence[FunctionTimes], bill: EpochBill) -> dict[str, float]:
    """Return the cost of an epoch by kind; functions are all that is not of another kind."""
    kinds = {
        "requests": sum(each.requests_usd for each in functions),
        "states": bill.states_usd,
        "lost": sum(each.lost_usd for each in functions) + bill.again_usd,
    }
    functions_usd = max(0.0, bill.total_usd - sum(kinds.values()))
    found = {"functions": functions_usd, **kinds}
    return {kind: round(usd, DIGITS) for kind, usd in found.items() if usd}
