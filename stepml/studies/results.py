"""The results of a study's cells: a directory with one JSON file for each."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct, field

from stepml.job.conversion import decoded
from stepml.os_errors import located
from stepml.whole_files import write_whole

CELLS = "cells"  # the directory of the results

Status = Literal["running", "done", "failed"]


class CurvePoint(Struct, frozen=True):
    """The state of a job at the end of an epoch."""

    epoch: int
    seconds: float  # of training so far
    cost_usd: float  # of the job so far
    loss: float  # on the validation rows


class CellResult(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The result of a cell."""

    key: str
    status: Status
    place: str  # of the run: the AWS, or this machine
    job_id: str = ""  # of functions
    error: str = ""  # of a cell that failed
    end: str = ""  # the reason why training ended, in words
    converged: bool = False
    epochs: int = 0
    loss: float | None = None  # of the model, on the validation rows
    metrics: dict[str, float] = field(default_factory=dict)  # likewise
    seconds: float = 0.0  # from the start of the first function or process to the model
    start_s: float | None = None  # until all ranks had started; of a VM, as published
    load_s: float = 0.0  # data and preparation
    train_s: float = 0.0  # all epochs
    cost_usd: float = 0.0  # at list prices
    servers_usd: float = 0.0  # beside it, of the channel's server
    communication_share: float | None = None
    requests: int | None = None  # to the services, of all functions
    sent_bytes: int | None = None
    curve: list[CurvePoint] = field(default_factory=list)

    @property
    def is_done(self) -> bool:
        """Whether the cell need not run again."""
        return self.status == "done"


class Results:
    """The results in a directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def find(self, key: str) -> CellResult | None:
        """Return the result of a cell; None: there is none, or another version wrote it."""
        try:
            return decoded(self._path(key).read_bytes(), CellResult)
        except (FileNotFoundError, msgspec.DecodeError):
            return None

    def save(self, result: CellResult) -> None:
        """Write a result; its file is whole at any time."""
        path = self._path(result.key)
        with located(path.parent):
            path.parent.mkdir(parents=True, exist_ok=True)
            text = msgspec.json.format(msgspec.json.encode(result), indent=1)
            write_whole(path, text)

    def _path(self, key: str) -> Path:
        return self.directory / CELLS / f"{key}.json"
