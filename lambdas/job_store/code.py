"""Code of users' own networks: stored by content, and unpacked where it runs."""

from __future__ import annotations

from collections.abc import Callable

from stepml.job import keys
from stepml.job.errors import (
    CodeNotFoundError,
    DamagedValueError,
    InvalidNetworkError,
    KeyNotFoundError,
    StorageDeniedError,
)
from stepml.ml.neural.code import (
    MOST_PACKED_BYTES,
    digest_of,
    directory_of,
    is_unpacked,
    require_archive,
    unpack,
)
from storage import DurableStorage


def store_code(
    uri: str | None, storage: DurableStorage, open_bucket: Callable[[str], DurableStorage]
) -> str:
    """Copy a job's code into the durable store, and return its digest; "" without code.

    Nothing of it runs. The job's functions read the copy, so that later changes of the object at
    ``uri`` do not change a job that has begun.

    Raises
    ------
    CodeNotFoundError
        There is no object at ``uri``, or the functions may not read it.
    InvalidNetworkError
        It is no zip file, or too large, or would write elsewhere.
    """
    if uri is None:
        return ""
    archive = _loaded(uri, open_bucket)
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


def _loaded(uri: str, open_bucket: Callable[[str], DurableStorage]) -> bytes:
    name, _, key = uri.removeprefix("s3://").partition("/")
    try:
        source = open_bucket(name)
        found = source.describe(key)
        if found is not None and found.value_bytes > MOST_PACKED_BYTES:
            raise InvalidNetworkError(
                f"code: expected a zip file of at most {MOST_PACKED_BYTES:,} bytes, got "
                f"{found.value_bytes:,} at {uri}"
            )
        if found is not None:
            return bytes(source.load(key))
    except StorageDeniedError as error:
        raise CodeNotFoundError(
            f"code: the functions may not read {uri}; a bucket other than the stack's own is "
            "named by the parameter DataBucketName of the stack"
        ) from error
    except KeyNotFoundError:  # there is no such bucket
        pass
    raise CodeNotFoundError(f"code: nothing lies at {uri}")
