"""Code of users' own networks: stored by content, and unpacked where it runs."""

from __future__ import annotations

from lambdas.job_store.given_objects import GivenObject, OpenBucket
from stepml.job import keys
from stepml.job.errors import (
    CodeNotFoundError,
    DamagedValueError,
    InvalidCodeError,
    InvalidJobError,
)
from stepml.ml.own.code import (
    MOST_PACKED_BYTES,
    digest_of,
    directory_of,
    is_unpacked,
    require_archive,
    unpack,
)
from storage import DurableStorage


class _Code(GivenObject):
    def _absent(self, message: str) -> InvalidJobError:
        return CodeNotFoundError(message)

    def _unfit(self, message: str) -> InvalidJobError:
        return InvalidCodeError(message)


def store_code(uri: str | None, storage: DurableStorage, open_bucket: OpenBucket) -> str:
    """Copy a job's code into the durable store, and return its digest; "" without code.

    Nothing of it runs. The job's functions read the copy, so that later changes of the object at
    ``uri`` do not change a job that has begun.

    Raises
    ------
    CodeNotFoundError
        There is no object at ``uri``, or the functions may not read it.
    InvalidCodeError
        It is no zip file, or too large, or would write elsewhere.
    """
    if uri is None:
        return ""
    archive = _Code("code", uri, "a zip file", MOST_PACKED_BYTES).load(open_bucket)
    require_archive(archive)
    digest = digest_of(archive)
    key = keys.code(digest)
    if storage.describe(key) is None:
        storage.save(key, archive)
    return digest


def ready_code(storage: DurableStorage, digest: str) -> None:
    """Unpack the code with this digest on this machine, if it is not there; "" is none.

    Raises
    ------
    KeyNotFoundError
        The copy of the code has been deleted.
    DamagedValueError
        It is another one than at the job's start.
    """
    if not digest or is_unpacked(directory_of(digest)):
        return
    key = keys.code(digest)
    archive = bytes(storage.load(key))
    if digest_of(archive) != digest:
        raise DamagedValueError(f"{key}: the code is not that with which the job began")
    unpack(archive)
