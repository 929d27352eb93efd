"""Deletes what the jobs of fits have left in the bucket."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from threading import Thread

from msgspec import Struct

from stepml.client.connection import Connection
from stepml.client.objects import find_document, is_there
from stepml.client.stored import delete_stored
from stepml.job import keys
from stepml.records.errors import AccessError

# A function tidies up after a job that failed, and reports its end, seconds after it.
END_WAIT_S = 30.0


class _Partitioned(Struct, frozen=True):
    """The part of a job's partition plan that names the partitioned rows."""

    digest: str


_threads: list[Thread] = []


def delete_job(connection: Connection, bucket: str, name: str) -> None:
    """Delete the objects of a job; warn if this person may not."""
    place = keys.job_prefix(name)
    try:
        delete_stored(connection, bucket, place)
    except AccessError as error:
        warnings.warn(f"s3://{bucket}/{place} could not be deleted: {error}", stacklevel=2)


def delete_failed_job(
    connection: Connection,
    bucket: str,
    name: str,
    on_copy: Callable[[str], object],
    on_end: Callable[[], object],
) -> None:
    """Delete the objects of a job without a model once its end is reported, in another thread.

    Its partitioned rows stay, as other fits may read them: ``on_copy`` is called with their digest,
    if there are any, and ``on_end`` in any case.
    """
    given = (connection, bucket, name, on_copy, on_end)
    thread = Thread(target=_delete_later, args=given, name=f"delete {name}")
    thread.start()
    _threads[:] = [*(each for each in _threads if each.is_alive()), thread]


def await_deletions() -> None:
    """Wait until the objects of all failed jobs are deleted."""
    for thread in _threads:
        thread.join()


def _delete_later(
    connection: Connection,
    bucket: str,
    name: str,
    on_copy: Callable[[str], object],
    on_end: Callable[[], object],
) -> None:
    deadline = time.monotonic() + END_WAIT_S
    try:
        with suppress(AccessError):
            while time.monotonic() < deadline and not is_there(
                connection, bucket, keys.ended(name)
            ):
                time.sleep(connection.poll_s)
            plan = find_document(
                connection, bucket, keys.partition_plan(name), _Partitioned, f"the plan of {name}"
            )
            if plan is not None:  # the job may not have got so far
                on_copy(plan.digest)
        delete_job(connection, bucket, name)
    finally:
        on_end()
