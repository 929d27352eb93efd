"""Zip files whose bytes depend on names and contents alone."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time that a zip can hold
FILE_MODE = 0o644 << 16


def zip_archive(files: Mapping[str, Path]) -> bytes:
    """Return a zip of ``files``, by name; equal files have equal zips."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(files):
            member = zipfile.ZipInfo(name, ZIP_EPOCH)
            member.external_attr = FILE_MODE
            member.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(member, files[name].read_bytes())
    return buffer.getvalue()
