"""The cells of a study: each a job, or a baseline of one."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any, Literal

import msgspec

from stepml.client.job_changes import Change, with_values
from stepml.job.algorithms import algorithms_of
from stepml.job.combinations import contradictions
from stepml.job.conversion import converted
from stepml.job.errors import InvalidJobError
from stepml.job.explanations import mistakes
from stepml.job.json_values import normalised
from stepml.job.spec import JobSpec
from stepml.job.spec_base import tag
from stepml.studies.baselines.kinds import SCIKIT_LEARN, VM, Baseline
from stepml.studies.definition import InvalidStudyError, Part, Study
from stepml.studies.values import labels_of, shown

FUNCTIONS: Literal["functions"] = "functions"
Kind = Literal["functions"] | Baseline

_OF_COLUMNS = {"exchange.channel", "exchange.pattern", "workers"}  # which every row has
_MOST_SLUG = 60


@dataclass(frozen=True, slots=True)
class Cell:
    """A job, or a baseline: what is run once."""

    part: str
    kind: Kind
    job: Mapping[str, Any]  # its document
    spec: JobSpec
    labels: Mapping[str, str] = field(default_factory=dict)  # of the grid's values, by path
    run: int = 1  # of `repeat`, each with a seed of its own
    refusal: str | None = None  # the reason why it cannot be run

    @property
    def key(self) -> str:
        """The name of its result: it depends on the job alone, not on the rest of the study."""
        text = json.dumps([self.kind, self.job], sort_keys=True)
        digest = hashlib.sha256(text.encode()).hexdigest()[:10]
        slug = re.sub(r"[^0-9A-Za-z]+", "-", "-".join(self.words))[:_MOST_SLUG].strip("-")
        return f"{slug}-{digest}"

    @property
    def name(self) -> str:
        """The same for all runs of a cell."""
        return " ".join([self.kind, *self.words])

    @property
    def words(self) -> list[str]:
        """Its model and algorithm, how its ranks exchange, and its other values in the grid."""
        return [self.model, self.algorithm, *self._exchange]

    @property
    def model(self) -> str:
        """The model, by its name or as the grid distinguishes it."""
        return self.labels.get("model") or tag(self.spec.model)

    @property
    def algorithm(self) -> str:
        """The algorithm, likewise; ``chosen`` if the job leaves it open."""
        if self.kind == SCIKIT_LEARN:
            return SCIKIT_LEARN
        if self.spec.algorithm is not None:
            return self.labels.get("algorithm") or tag(self.spec.algorithm)
        known = algorithms_of(self.spec.model)
        return known[0] if len(known) == 1 else "chosen"

    @property
    def workers(self) -> int:
        """The number of functions or processes that train."""
        return 1 if self.kind == SCIKIT_LEARN else self.spec.workers

    @property
    def others(self) -> dict[str, str]:
        """The grid's values for which tables have no column of their own, by path."""
        known = {*_OF_COLUMNS, "model", "algorithm"}
        return {path: text for path, text in self.labels.items() if path not in known}

    @property
    def _exchange(self) -> list[str]:
        if self.kind == SCIKIT_LEARN:
            return [*self.others.values()]
        exchange = self.spec.exchange
        way = [self.kind] if self.kind == VM else [exchange.channel, exchange.pattern]
        return [*way, str(self.spec.workers), *self.others.values()]


def cells_of(study: Study) -> list[Cell]:
    """Return the cells of a study, in the order in which they run; baselines come last.

    Raises
    ------
    InvalidStudyError
        A job has an unknown field or a wrong value, or no job of a part is possible.
    """
    return [cell for part in study.parts for cell in _of_part(part)]


def _of_part(part: Part) -> list[Cell]:
    jobs = [cell for cell in _jobs(part) if not _is_left_out(part, cell)]
    if not any(cell.refusal is None for cell in jobs):
        why = next((cell.refusal for cell in jobs if cell.refusal), "leave_out names all of them")
        raise InvalidStudyError(f"part {part.name!r}: no job of the grid is possible: {why}")
    return [*jobs, *_baselines(part, jobs)]


def _jobs(part: Part) -> Iterator[Cell]:
    paths = list(part.grid)
    labelled = [list(zip(values, labels_of(values), strict=True)) for values in part.grid.values()]
    for chosen in product(*labelled):
        values = zip(paths, chosen, strict=True)
        changes = [Change.at(path, value) for path, (value, _) in values]
        labels = {path: label for path, (_, label) in zip(paths, chosen, strict=True)}
        yield from _repeated(part, with_values(part.job, changes), labels)


def _repeated(part: Part, document: dict[str, Any], labels: Mapping[str, str]) -> Iterator[Cell]:
    first = _spec(part, document, labels)
    refusal = "; ".join(contradictions(first)) or None
    for number in range(1 if refusal else part.repeat):
        seed = first.data.seed + number
        job = with_values(document, [Change.at("data.seed", seed)]) if number else document
        data = msgspec.structs.replace(first.data, seed=seed)
        spec = msgspec.structs.replace(first, data=data)
        yield Cell(part.name, FUNCTIONS, job, spec, labels, number + 1, refusal)


def _spec(part: Part, document: dict[str, Any], labels: Mapping[str, str]) -> JobSpec:
    where = ", ".join(f"{path} {label}" for path, label in labels.items())
    try:
        whole = normalised(document)
        try:
            return converted(whole, JobSpec)
        except msgspec.ValidationError:
            raise InvalidJobError.of(mistakes(whole, JobSpec)) from None
    except InvalidJobError as error:
        raise InvalidStudyError(f"part {part.name!r}, the job with {where}: {error}") from None


def _is_left_out(part: Part, cell: Cell) -> bool:
    return any(
        all(_names(value, cell.labels[path]) for path, value in each.items())
        for each in part.leave_out
    )


def _names(value: Any, label: str) -> bool:
    """Return whether a value of ``leave_out``, or one of a list of them, means a grid's value."""
    values = value if isinstance(value, list) else [value]
    return any(label in (each, shown(each)) or label.split(" ")[0] == each for each in values)


def _baselines(part: Part, jobs: Sequence[Cell]) -> Iterator[Cell]:
    seen: set[str] = set()
    for kind in part.baselines:
        for job in jobs:
            cell = None if job.refusal else _baseline(kind, job)
            if cell is not None and cell.key not in seen:
                seen.add(cell.key)
                yield cell


def _baseline(kind: Baseline, of: Cell) -> Cell | None:
    """Return the baseline of a job; None: it has none."""
    if of.spec.exchange.pattern == "async":  # its order of steps has no counterpart
        return None
    dropped = {"exchange"} if kind == VM else {"exchange", "algorithm", "workers", "stop"}
    job = {name: value for name, value in of.job.items() if name not in dropped}
    if kind != VM:
        job["stop"] = {
            name: value for name, value in of.job.get("stop", {}).items() if name == "metric"
        }
    labels = {path: text for path, text in of.labels.items() if path.split(".")[0] not in dropped}
    return Cell(of.part, kind, job, converted(normalised(job), JobSpec), labels, of.run)
