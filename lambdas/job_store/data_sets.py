"""Partitioned data in the durable store: addressed by content, shared by jobs.

They are a cache: what is missing or damaged is noticed where it is used. Shards are then made
again from the pieces by their reader, pieces and manifest from the user's data by range tasks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Self

from lambdas.job_store.entries import Entry, document, require_found
from lambdas.job_store.plans import PartitionPlan, RangeSummary
from lambdas.job_store.strata import cuts_for
from stepml.job import data_keys
from stepml.job.errors import (
    DamagedValueError,
    DataSetDamagedError,
    KeyNotFoundError,
    ValueChangedError,
)
from stepml.ml.data import (
    Cuts,
    Interval,
    Manifest,
    PieceStatistics,
    Shard,
    ShardKind,
    are_alike,
    assemble,
    cuts_of,
    merge,
)
from stepml.ml.data.manifest import Piece
from storage import DurableStorage

DAMAGES = (DamagedValueError, KeyNotFoundError, ValueChangedError)


@dataclass(frozen=True, slots=True)
class DataSetStore:
    """The partitioned data with one digest, as one job reads and writes them."""

    storage: DurableStorage
    digest: str
    job_id: str  # the job that parses, if they are not partitioned yet

    @property
    def manifest(self) -> Entry[Manifest]:
        """The list of pieces."""
        return document(self.storage, data_keys.manifest(self.digest), Manifest)

    def load_manifest(self) -> Manifest:
        """Return the manifest, or raise `DataSetDamagedError`."""
        with self._damage_is_named():
            manifest = self.manifest.load()
            if manifest.digest != self.digest:
                raise DamagedValueError(f"{self.manifest.key} is that of {manifest.digest}")
        return manifest

    def find_whole(self) -> Manifest | None:
        """Return the manifest if it and all pieces are stored as they were written, or None."""
        manifest = self.manifest.find_whole()
        return manifest if manifest is not None and self._is_whole(manifest) else None

    def damaged_ranges(self, n_ranges: int) -> list[int]:
        """Return the ranges of which this job has no summary, or not all pieces as written."""
        entries = [self.summary(number) for number in range(n_ranges)]
        found = self.storage.load_many([each.key for each in entries])
        stored = self._stored()
        summaries = [each.read_whole(found) for each in entries]
        return [
            number
            for number, each in enumerate(summaries)
            if each is None or each.range != number or _damaged(each.pieces, stored)
        ]

    def find_summary(self, number: int) -> RangeSummary | None:
        """Return the result of a range task if it and its pieces are as written, or None."""
        found = self.summary(number).find_whole()
        return found if found is not None and self._is_done(number, found) else None

    def publish_summary(self, summary: RangeSummary) -> RangeSummary:
        """Write the result of a range task unless a whole one is stored; return that."""
        number = summary.range
        entry = self.summary(number)
        return entry.replace(summary, unless=lambda stored: self._is_done(number, stored))

    def _is_whole(self, manifest: Manifest) -> bool:
        return manifest.digest == self.digest and not self._damaged(manifest.pieces)

    def _is_done(self, number: int, summary: RangeSummary) -> bool:
        return summary.range == number and not self._damaged(summary.pieces)

    def _damaged(self, pieces: Iterable[Piece | PieceStatistics]) -> str | None:
        """Return the first key of ``pieces`` that is not stored as it was written, or None."""
        return _damaged(pieces, self._stored())

    def _stored(self) -> dict[str, tuple[int, str]]:
        """Return size and ETag of all pieces that are stored."""
        described = self.storage.describe_many(data_keys.pieces_prefix(self.digest))
        return {info.key: (info.value_bytes, info.etag) for info in described}

    def publish(self, plan: PartitionPlan) -> Manifest:
        """Write the manifest of this job's pieces, unless a whole one is stored; return that.

        Raises
        ------
        DataSetDamagedError
            A range's summary is missing or damaged.
        """
        before = self.manifest.find_whole()
        mine = self._merged(plan)
        stored = self.manifest.replace(mine, unless=self._is_whole)
        if before is not None and stored is mine:
            kept = {piece.key for piece in mine.pieces}
            unused = [piece.key for piece in before.pieces if piece.key not in kept]
            self.storage.delete_many(unused)
        return stored

    def delete_unused_pieces(self, manifest: Manifest) -> None:
        """Delete this job's pieces if another job was faster; the rows are the same."""
        mine = data_keys.piece_prefix(self.digest, self.job_id)
        if not any(piece.key.startswith(mine) for piece in manifest.pieces):
            self.storage.clear(mine)

    def summary(self, number: int) -> Entry[RangeSummary]:
        """The result of one range task of this job."""
        key = data_keys.task_summary(self.digest, self.job_id, number)
        return document(self.storage, key, RangeSummary)

    def piece_key(self, task: int, number: int) -> str:
        """Return the key of one piece of a range task of this job."""
        return data_keys.piece(self.digest, self.job_id, task, number)

    def rows(self, interval: Interval, kind: ShardKind) -> Shard:
        """Return the rows of an interval, gathered from the pieces.

        Raises
        ------
        DataSetDamagedError
            The manifest or a piece is missing or damaged.
        """
        manifest = self.load_manifest()
        try:
            return self._assembled(manifest, interval, kind)
        except DataSetDamagedError:
            current = self.load_manifest()
            if current == manifest:
                raise
        # Another job has noticed the damage before, and replaced the pieces.
        return self._assembled(current, interval, kind)

    def _assembled(self, manifest: Manifest, interval: Interval, kind: ShardKind) -> Shard:
        with self._damage_is_named():
            reader = Unchanged.of(self.storage, manifest)
            cuts = self._cuts(reader, manifest, interval)
            return assemble(reader, manifest, interval, kind, cuts)

    def find_cuts(self, manifest: Manifest, interval: Interval) -> None:
        """Find the places of stratified validation rows now, so that readers need not.

        Raises
        ------
        DataSetDamagedError
            A piece is missing or damaged.
        """
        with self._damage_is_named():
            self._cuts(Unchanged.of(self.storage, manifest), manifest, interval)

    def _cuts(self, reader: Unchanged, manifest: Manifest, interval: Interval) -> Cuts | None:
        find = partial(cuts_of, reader, manifest, interval.quotas)
        return cuts_for(self.storage, manifest, interval, find)

    def _merged(self, plan: PartitionPlan) -> Manifest:
        with self._damage_is_named():
            summaries = self._summaries(len(plan.tasks))
            pieces = [piece for summary in summaries for piece in summary.pieces]
            if damaged := self._damaged(pieces):
                raise DamagedValueError(f"{damaged} is missing or is not what was written")
            if not are_alike(pieces):  # the stack was updated meanwhile
                self.storage.delete_many([self.summary(n).key for n in range(len(plan.tasks))])
                raise DamagedValueError(
                    f"the ranges of datasets/{self.digest}/ were parsed by two versions of StepML"
                )
        skipped, levels = ([each.skipped for each in summaries], [e.levels for e in summaries])
        return merge(plan.digest, plan.layout, pieces, skipped, levels)

    def _summaries(self, n_ranges: int) -> list[RangeSummary]:
        entries = [self.summary(number) for number in range(n_ranges)]
        stored = self.storage.load_many([each.key for each in entries])
        require_found(entries, stored)
        found = [each.decode(stored[each.key], each.key) for each in entries]
        for number, (entry, summary) in enumerate(zip(entries, found, strict=True)):
            if summary.range != number:
                raise DamagedValueError(f"{entry.key} describes range {summary.range}")
        return found

    @contextmanager
    def _damage_is_named(self) -> Iterator[None]:
        try:
            yield
        except DAMAGES as error:
            raise DataSetDamagedError(
                f"{error}; the next attempt makes it again from data.uri. If the job has failed, "
                "start it again (with resume_from, its finished epochs count)"
            ) from error


def _damaged(
    pieces: Iterable[Piece | PieceStatistics], stored: Mapping[str, tuple[int, str]]
) -> str | None:
    damaged = (p.key for p in pieces if stored.get(p.key) != (p.value_bytes, p.etag))
    return next(damaged, None)


@dataclass(frozen=True, slots=True)
class Unchanged:
    """Reads objects, and refuses those that have changed since they had ``etags``."""

    storage: DurableStorage
    etags: dict[str, str]

    @classmethod
    def of(cls, storage: DurableStorage, manifest: Manifest) -> Self:
        """Return a reader of a data set's pieces."""
        return cls(storage, {piece.key: piece.etag for piece in manifest.pieces})

    def load_range(self, key: str, start: int, stop: int) -> bytes:
        """Return a part of an object, or raise `ValueChangedError`."""
        try:
            return self.storage.load_range(key, start, stop, self.etags[key])
        except ValueChangedError as error:
            raise ValueChangedError(
                f"{error}; start the job again, under another name: the data are planned anew"
            ) from error
