"""Places in S3 (``s3://bucket/key``, or a path in the stack's own bucket), and in code."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

DATA = "data/"  # the folder of people's own data in the bucket
_SCHEME = "s3://"
_BUCKET = r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]"
# Neither a file of a machine (/rows.csv, ./rows.csv, ~/rows.csv, data\rows.csv, C:\rows.csv) nor
# another URI (https://…).
_NO_FILE = r"(?![./~]|[A-Za-z][A-Za-z0-9+.-]*:|.*\\)"
_OWN_BUCKET = "; a path without s3:// is in the stack's bucket"


def _place(description: str, key: str = ".+") -> Meta:
    return Meta(
        pattern=rf"^(s3://{_BUCKET}/{key}|{_NO_FILE}{key})$",
        max_length=1100,
        description=description + _OWN_BUCKET,
    )


DataUri = Annotated[str, _place("s3://bucket/key of one object, or s3://bucket/prefix/ of many")]
CodeUri = Annotated[str, _place("s3://bucket/key of a zip file with what entry_point names")]
WeightsUri = Annotated[str, _place("s3://bucket/key.safetensors", r".+\.safetensors")]

EntryPoint = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*:[A-Za-z_][A-Za-z0-9_]*$",
        max_length=200,
        description="package.module:function",
    ),
]


def is_absolute(uri: str) -> bool:
    """Return whether ``uri`` names its bucket."""
    return uri.startswith(_SCHEME)


def absolute(uri: str, own_bucket: str) -> str:
    """Return ``uri`` with its bucket, which is ``own_bucket`` if it names none."""
    return uri if is_absolute(uri) else f"{_SCHEME}{own_bucket}/{uri}"


def bucket_and_key(uri: str) -> tuple[str, str]:
    """Return the two parts of ``s3://bucket/key``."""
    bucket, _, key = uri.removeprefix(_SCHEME).partition("/")
    return bucket, key
