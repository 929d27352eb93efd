"""Files that are whole at any time."""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from pathlib import Path


def write_whole(path: Path, content: bytes) -> None:
    """Replace a file at once: a reader sees all of the content before, or all of this one.

    Raises
    ------
    OSError
        The file cannot be written; the one before is still there.
    """
    made = path.with_name(f".{path.name}-{os.getpid()}-{threading.get_ident()}")
    try:
        made.write_bytes(content)
        made.replace(path)
    finally:
        with suppress(OSError):
            made.unlink(missing_ok=True)
