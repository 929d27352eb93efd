"""The choice of the jobs that the list shows, as in its address."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

from stepml.client.arguments import STATUSES
from stepml.client.listing import JobSummary
from stepml.console.addresses import JOBS, number_in, view_address
from stepml.job.spec_base import tag

PORTION = 100  # jobs that are listed, and by which the list grows
MOST_OLDER = 1000  # portions


@dataclass(frozen=True, slots=True)
class Asked:
    """The jobs that AWS is asked for.

    Attributes
    ----------
    limit : int
        At most so many of the newest.
    status : str or None
    name : str
        In their names.
    """

    limit: int = PORTION
    status: str | None = None
    name: str = ""


@dataclass(frozen=True, slots=True)
class JobsShown:
    """A person's choices.

    Attributes
    ----------
    status, model, channel : str
        Only such jobs; "" for all.
    text : str
        Only jobs with all of its words in their name, settings or error.
    sort : str
        As of `Table`.
    page : int
        As of `Table`.
    older : int
        How many further portions of older jobs are listed. With a text, older jobs are
        looked for by their name.
    chosen : tuple of str
        The names of the jobs to compare.
    """

    status: str = ""
    model: str = ""
    channel: str = ""
    text: str = ""
    sort: str = ""
    page: int = 1
    older: int = 0
    chosen: tuple[str, ...] = ()

    @classmethod
    def of_query(cls, query: Mapping[str, str]) -> Self:
        """Return the choices of an address; what it does not name, or wrongly, is the default."""
        status = query.get("status", "").upper()
        return cls(
            status=status if status in STATUSES else "",
            model=query.get("model", ""),
            channel=query.get("channel", ""),
            text=query.get("q", ""),
            sort=query.get("sort", ""),
            page=number_in(query.get("page", "")) or 1,
            older=min(number_in(query.get("older", "")) or 0, MOST_OLDER),
            chosen=tuple(filter(None, query.get("chosen", "").split(","))),
        )

    @property
    def address(self) -> str:
        """The address of the list with these choices."""
        return view_address(
            JOBS,
            status=self.status.lower(),
            model=self.model,
            channel=self.channel,
            q=self.text,
            sort=self.sort,
            page=self.page if self.page > 1 else None,
            older=self.older or None,
            chosen=",".join(self.chosen),
        )

    @property
    def asked(self) -> Asked:
        """The jobs that AWS is asked for, of which `of` are shown."""
        name = max(self.text.split(), key=len, default="") if self.older else ""
        limit = PORTION if name else PORTION * (1 + self.older)
        return Asked(limit, self.status or None, name)

    @property
    def is_filtered(self) -> bool:
        """Whether not all jobs are shown."""
        return bool(self.status or self.model or self.channel or self.text)

    def of(self, jobs: Iterable[JobSummary]) -> list[JobSummary]:
        """Return those of the jobs that are shown."""
        return [each for each in jobs if self._accepts(each)]

    def with_(self, **changes: Any) -> JobsShown:
        """Return these choices with changes; other jobs begin at their first page."""
        return replace(self, **{"page": 1, **changes})

    def _accepts(self, job: JobSummary) -> bool:
        words = self.text.lower().split()
        facts = facts_of(job)
        text = " ".join([job.name, *facts.values(), job.why])
        return (
            (not self.status or job.status == self.status)
            and (not self.model or facts["model"] == self.model)
            and (not self.channel or facts["channel"] == self.channel)
            and all(word in text.lower() for word in words)
        )


def facts_of(job: JobSummary) -> dict[str, str]:
    """Return the model, algorithm and channel of a job; empty texts if they are unknown."""
    spec = job.spec
    if spec is None:
        return {"model": "", "algorithm": "", "channel": ""}
    algorithm = "" if spec.algorithm is None else tag(spec.algorithm)
    return {"model": tag(spec.model), "algorithm": algorithm, "channel": spec.exchange.channel}
