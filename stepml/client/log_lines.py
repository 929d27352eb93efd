"""The lines that a job's functions log, for people and for programs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from stepml.client.tabular import Row, Tabular
from stepml.job.json_logs import METRICS

if TYPE_CHECKING:
    from stepml.reports.tables import Table

SEVERE = frozenset({"ERROR", "CRITICAL"})
_FAILURE = ("error", "reason")  # fields: class and message, as in Python's traces


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line that a function logged about a job."""

    event_id: str
    timestamp_ms: int  # since 1970, UTC
    function: str  # without the stack's name: executor
    level: str
    message: str
    epoch: int | None
    rank: int | None
    fields: dict[str, Any]  # all others
    request_id: str | None = None  # of the invocation

    @property
    def clock(self) -> str:
        """The time of day here: ``12:34:56.789``."""
        moment = datetime.fromtimestamp(self.timestamp_ms / 1000).astimezone()
        return f"{moment:%H:%M:%S}.{self.timestamp_ms % 1000:03}"

    @property
    def whole_message(self) -> str:
        """The message with an error and other fields."""
        failure = [str(self.fields[name]) for name in _FAILURE if name in self.fields]
        others = "".join(
            f" {name}={_rounded(value)}"
            for name, value in self.fields.items()
            if name not in (*_FAILURE, METRICS)
        )
        return ": ".join([self.message, *failure]) + others

    def __str__(self) -> str:
        where = [self.function]
        if self.epoch is not None:
            where.append(f"epoch {self.epoch}")
        if self.rank is not None:
            where.append(f"rank {self.rank}")
        return f"{self.clock} {self.level:<7} {', '.join(where)}: {self.whole_message}"


class LogLines(Tabular[LogLine]):
    """Log lines of a job, oldest first."""

    def rows(self) -> list[Row]:
        """Return a row for each line: time, function, epoch, rank, level, message, fields."""
        return [
            {
                "timestamp_ms": each.timestamp_ms,
                "function": each.function,
                "epoch": each.epoch,
                "rank": each.rank,
                "level": each.level,
                "message": each.message,
                "request_id": each.request_id,
                **each.fields,
            }
            for each in self
        ]

    def _table(self) -> Table:
        from stepml.reports.tables import Table, TableRow

        header = ["time", "function", "epoch", "rank", "level", "message"]
        rows = [TableRow(_cells(each), "bad" if each.level in SEVERE else "") for each in self]
        return Table(header, rows, frozenset({"function", "level", "message"}))


def _cells(line: LogLine) -> list[str]:
    place = ("" if each is None else str(each) for each in (line.epoch, line.rank))
    return [line.clock, line.function, *place, line.level, line.whole_message]


def _rounded(value: object) -> object:
    return f"{value:.6g}" if isinstance(value, float) else value
