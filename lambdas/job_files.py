"""Files of jobs in the stack's bucket, and the answers that people find beside them.

A file that is put under ``inbox/`` starts a job, each put its own. Services repeat events, so the
name of the job is made from the put: the same event starts nothing a second time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote_plus

from lambdas.logs import log
from stepml.job.error_lines import message_lines, note_lines
from stepml.job.errors import InvalidJobError, KeyNotFoundError, ValueChangedError
from stepml.job.job_files import checked_job
from stepml.job.json_text import MOST_JOB_BYTES
from stepml.job.names import stem_of
from stepml.job.tasks import TriggerResult
from storage import DurableStorage

STARTED, FAILED = ".started.txt", ".error.txt"  # no name of a job file ends like these
_DIGITS = 12  # of the digest of a put

Start = Callable[[str, str], TriggerResult]  # (text of a checked job, name)


@dataclass(frozen=True, slots=True)
class JobFile:
    """A file with a job, as an event names it."""

    key: str
    name: str  # of the job that it starts
    etag: str | None = None  # of the content that the event is about; None: any


def put_files(event: dict[str, Any], bucket: str) -> Iterator[JobFile]:
    """Yield the files of the stack's bucket that an event of S3 is about."""
    for record in event["Records"]:
        stored = record["s3"]["object"]
        key = unquote_plus(stored["key"])
        if record["s3"]["bucket"]["name"] != bucket:
            log("event of another bucket", bucket=record["s3"]["bucket"]["name"], key=key)
            continue
        put = "\n".join((key, stored["sequencer"], stored.get("versionId") or ""))
        digest = hashlib.sha256(put.encode()).hexdigest()[:_DIGITS]
        yield JobFile(key, f"{file_stem(key)}-{digest}", stored["eTag"])


def file_stem(key: str) -> str:
    """Return the begin of the name of the job in a file."""
    return stem_of(PurePosixPath(key).stem)


def start_quietly(file: JobFile, storage: DurableStorage, start: Start) -> TriggerResult | None:
    """Start the job in a file that an event names; a wrong job is said beside the file alone.

    If the function failed, Lambda would repeat the event. An event is also over if another content
    has taken the place of the one that it is about.

    Raises
    ------
    Exception
        A service has failed or refused, and the event may be repeated.
    """
    try:
        return start_file(file, storage, start)
    except InvalidJobError as error:
        log("job refused", key=file.key, error=type(error).__name__)
    except (KeyNotFoundError, ValueChangedError) as error:
        log("job file replaced or deleted", key=file.key, reason=str(error))
    return None


def start_file(file: JobFile, storage: DurableStorage, start: Start) -> TriggerResult:
    """Start the job in a file, and say beside the file how that went.

    Raises
    ------
    InvalidJobError
        There is no such file, or the job is wrong; nothing has started.
    KeyNotFoundError, ValueChangedError
        The content that an event is about is not there any more.
    """
    try:
        result = start(_text(_content(file, storage), file), file.name)
    except (KeyNotFoundError, ValueChangedError):
        raise
    except Exception as error:
        lines = (*message_lines(error), *note_lines(error))
        _answer(storage, file.key, FAILED, "".join(f"{line}\n" for line in lines))
        raise
    _answer(storage, file.key, STARTED, _started(result))
    return result


def _content(file: JobFile, storage: DurableStorage) -> bytes:
    try:
        return storage.load_range(file.key, 0, MOST_JOB_BYTES + 1, file.etag)
    except KeyNotFoundError as error:
        if file.etag is not None:
            raise
        raise InvalidJobError(f"job file {file.key!r}: there is no such object") from error


def _text(content: bytes, file: JobFile) -> str:
    if len(content) > MOST_JOB_BYTES:
        raise InvalidJobError(
            f"job file {file.key!r}: expected a job, in at most {MOST_JOB_BYTES:,} bytes"
        )
    return checked_job(content, file.name, file.key)


def _started(result: TriggerResult) -> str:
    stack = result.execution_arn.split(":")[-2].removesuffix("-train")
    return (
        f"job: {result.job_id}\n"
        f"execution: {result.execution_arn}\n"
        f"to watch it: stepml watch {result.job_id} --stack {stack}\n"
    )


def _answer(storage: DurableStorage, key: str, suffix: str, text: str) -> None:
    """Write the newest answer, and delete that to an earlier content."""
    (other,) = {STARTED, FAILED} - {suffix}
    storage.save(key + suffix, text.encode())
    storage.delete_many([key + other])
