"""``--code``: a user's own code, packed and sent with a job."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from stepml.cli.errors import BadInputError
from stepml.cli.output import Output
from stepml.job import keys
from stepml.job.json_text import json_document

if TYPE_CHECKING:
    from stepml.client import Client
    from stepml.job.spec import JobSpec
    from stepml.packaging.user_code import PackedCode

STAND_IN = "s3://the-bucket-of-the-stack/code.zip"  # while a job is checked, before any request


def pack(path: Path) -> PackedCode:
    """Return the code at ``path``; errors as of `packed_code`."""
    from stepml.packaging.user_code import packed_code

    return packed_code(path)


def require_entry_point(code: PackedCode, spec: JobSpec) -> None:
    """Refuse code that lacks the module of the job's model or algorithm."""
    for field in spec.code_fields:
        group = getattr(spec, field.partition(".")[0])
        code.require_module(group.entry_point, field)


def with_code(job: str, uri: str, file: str) -> str:
    """Return the text of a job with its code at ``uri``; another one in it is replaced."""
    document = json_document(job, file)
    if not isinstance(document, dict):
        return job
    groups = [document.get(name) for name in ("model", "algorithm")]
    if not any(isinstance(each, dict) and "entry_point" in each for each in groups):
        raise BadInputError(
            "--code: has no effect without model.entry_point or algorithm.entry_point in the job"
        )
    return json.dumps(document | {"code": uri})


def sent(client: Client, code: PackedCode, output: Output) -> str:
    """Copy the code to the stack's bucket, unless it is there; say so, and return its URI."""
    upload = client.upload_code(code)
    files = "1 file" if len(code.names) == 1 else f"{len(code.names)} files"
    what = "sent to" if upload.sent else "unchanged in"
    output.line(f"code: {files}, {len(code.archive):,} bytes zipped, {what} the stack's bucket:")
    output.line(f"  {keys.code(code.digest)}")
    return upload.uri
