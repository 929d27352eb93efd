"""``--code``: a user's own code, sent with a job."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stepml.cli.output import Output
from stepml.job import keys

if TYPE_CHECKING:
    from stepml.client import Client
    from stepml.packaging.user_code import PackedCode

CODE_HELP = (
    "The code of model.entry_point or algorithm.entry_point: a directory, a .zip or a .py file."
)


def sent(client: Client, code: PackedCode, output: Output) -> str:
    """Copy the code to the stack's bucket, unless it is there; say so, and return its URI."""
    upload = client.upload_code(code)
    files = "1 file" if len(code.names) == 1 else f"{len(code.names)} files"
    what = "sent to" if upload.sent else "unchanged in"
    output.line(f"code: {files}, {len(code.archive):,} bytes zipped, {what} the stack's bucket:")
    output.line(f"  {keys.code(code.digest)}")
    return upload.uri
