"""Objects that a job names beside its data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from stepml.job.errors import InvalidJobError, KeyNotFoundError, StorageDeniedError
from stepml.job.places import bucket_and_key
from stepml.ml.data.meant_keys import hint_at_key
from storage import DurableStorage

OpenBucket = Callable[[str], DurableStorage]


@dataclass(frozen=True, slots=True)
class GivenObject:
    """An object of the user's."""

    field: str  # of the job, which names it
    uri: str  # s3://bucket/key
    kind: str  # for messages
    most_bytes: int

    def require(self, open_bucket: OpenBucket) -> None:
        """Raise an error if it is too large, or the functions may not read it, or it is absent."""
        self._read(open_bucket, lambda source, key: None)

    def load(self, open_bucket: OpenBucket) -> bytes:
        """Return its content; errors as of `require`."""
        content = self._read(open_bucket, lambda source, key: bytes(source.load(key)))
        assert content is not None
        return content

    def _absent(self, message: str) -> InvalidJobError:
        return InvalidJobError(message)

    def _unfit(self, message: str) -> InvalidJobError:
        return InvalidJobError(message)

    def _read(
        self, open_bucket: OpenBucket, read: Callable[[DurableStorage, str], bytes | None]
    ) -> bytes | None:
        hint, (name, key) = "", bucket_and_key(self.uri)
        try:
            source = open_bucket(name)
            found = source.describe(key)
            if found is not None:
                self._require_small(found.value_bytes)
                return read(source, key)
            hint = hint_at_key(source, key)
        except StorageDeniedError as error:
            raise self._absent(
                f"{self.field}: the functions may not read {self.uri}; a bucket other than the "
                "stack's own is named by the parameter DataBucketName of the stack"
            ) from error
        except KeyNotFoundError:  # there is no such bucket
            pass
        raise self._absent(f"{self.field}: nothing lies at {self.uri}{hint}")

    def _require_small(self, value_bytes: int) -> None:
        if value_bytes > self.most_bytes:
            raise self._unfit(
                f"{self.field}: expected {self.kind} of at most {self.most_bytes:,} bytes, got "
                f"{value_bytes:,} at {self.uri}"
            )
