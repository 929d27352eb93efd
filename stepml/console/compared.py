"""The jobs that a person compares, and how, as in the address of the comparison."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self
from urllib.parse import urlencode

from stepml.console.addresses import COMPARE
from stepml.reports.courses import AXES, EPOCH, Axis, axis_named

MOST_JOBS = 12


@dataclass(frozen=True, slots=True)
class Compared:
    """A person's choices.

    Attributes
    ----------
    names : tuple of str
        The jobs; speed-ups refer to the first.
    by : str
        The effort below the curves, as of `Run.plot`.
    hidden : tuple of str
        The letters of the jobs that charts do not show.
    scales : mapping of str to bool
        Whether the axis of a measure is logarithmic, where that has been chosen.
    """

    names: tuple[str, ...] = ()
    by: str = EPOCH.name
    hidden: tuple[str, ...] = ()
    scales: tuple[tuple[str, bool], ...] = ()

    @classmethod
    def of_query(cls, pairs: list[tuple[str, str]]) -> Self:
        """Return the choices of an address; what it does not name, or wrongly, is the default."""
        given = {name: [value for key, value in pairs if key == name and value] for name in _NAMES}
        listed = [name for value in given["jobs"] for name in value.split(",") if name]
        efforts = {axis.name for axis in AXES}
        return cls(
            names=tuple(dict.fromkeys([*given["job"], *listed]))[:MOST_JOBS],
            by=next((each for each in given["by"] if each in efforts), EPOCH.name),
            hidden=tuple(dict.fromkeys(given["hidden"])),
            scales=tuple(
                {each.removeprefix("-"): not each.startswith("-") for each in given["log"]}.items()
            ),
        )

    @property
    def address(self) -> str:
        """The address of the comparison with these choices."""
        pairs = [
            *(("job", name) for name in self.names),
            *([("by", self.by)] if self.by != EPOCH.name else []),
            *(("hidden", letter) for letter in self.hidden),
            *(("log", measure if is_log else f"-{measure}") for measure, is_log in self.scales),
        ]
        return f"{COMPARE}?{urlencode(pairs)}" if pairs else COMPARE

    @property
    def axis(self) -> Axis:
        """The effort below the curves."""
        return axis_named(self.by)

    def is_log(self, measure: str) -> bool | None:
        """Return whether the axis of a measure was chosen to be logarithmic, or None."""
        return dict(self.scales).get(measure)

    def with_(self, **changes: Any) -> Compared:
        """Return these choices with changes."""
        return replace(self, **changes)

    def with_scale(self, measure: str, is_log: bool) -> Compared:
        """Return these choices with another axis of a measure."""
        scales: Mapping[str, bool] = {**dict(self.scales), measure: is_log}
        return replace(self, scales=tuple(scales.items()))

    def with_jobs(self, names: tuple[str, ...]) -> Compared:
        """Return the choices for other jobs, which have other letters."""
        return replace(self, names=names, hidden=())


_NAMES = ("job", "jobs", "by", "hidden", "log")
