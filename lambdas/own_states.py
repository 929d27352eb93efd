"""What a rank keeps to itself from epoch to epoch, in the durable store."""

from __future__ import annotations

from dataclasses import dataclass

from lambdas.documents import Documents
from lambdas.states import pack_own, unpack_own
from stepml.job import keys
from stepml.job.reports import JobReport
from stepml.ml.algorithms import Extras
from storage import DurableStorage


@dataclass(frozen=True, slots=True)
class OwnStates:
    """One rank's, by epoch. Write-once: a second copy of the rank goes on with the first one's."""

    storage: DurableStorage
    job_id: str
    rank: int

    def find(self, epoch: int) -> Extras | None:
        """Return what the rank ended ``epoch`` with, or None if it has not."""
        key = self._key(epoch)
        found = self.storage.load_many([key])
        return unpack_own(found[key], key) if key in found else None

    def load(self, epoch: int) -> Extras:
        """Return what the rank ended ``epoch`` with, or raise `KeyNotFoundError`."""
        key = self._key(epoch)
        return unpack_own(self.storage.load(key), key)

    def publish(self, epoch: int, rank_state: Extras) -> Extras:
        """Store what the rank ended ``epoch`` with, and return what counts: the first.

        A copy that is so late that the job has ended takes back what would be left lying.
        """
        key = self._key(epoch)
        first = self.storage.publish(key, pack_own(rank_state))
        report = Documents(self.storage).find(keys.report(self.job_id), JobReport)
        if report is not None and epoch < report.epochs:
            self.storage.delete(key)
        return unpack_own(first, key)

    def _key(self, epoch: int) -> str:
        return keys.own_state(self.job_id, epoch, self.rank)


def keep_last_own_states(storage: DurableStorage, job_id: str, epoch: int) -> None:
    """Delete what ranks ended the epochs before ``epoch`` with.

    Until the job ends all are kept, as the states are that they belong to: an epoch that has
    failed, or an earlier one, can be done again from them.
    """
    last = keys.own_states_of_epoch(job_id, epoch)
    prefix = keys.own_states_prefix(job_id)
    storage.delete_many([key for key in storage.list(prefix) if not key.startswith(last)])
