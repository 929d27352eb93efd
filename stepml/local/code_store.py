"""Unpacked function code on disk, one directory per content."""

from __future__ import annotations

import base64
import fcntl
import io
import shutil
import tempfile
import threading
import zipfile
from pathlib import Path
from typing import IO

from stepml.local.locks import try_lock


class CodeStore:
    """Directories with the unpacked zip files of functions, keyed by the zip's SHA-256.

    Functions with equal code share a directory. Unpacked code is never overwritten, so the files
    of running processes do not change.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._lock = threading.Lock()
        self._users: IO[bytes] | None = None  # locked by every server that uses the directory

    def remove_unused(self) -> None:
        """Remove code left by earlier servers, unless a server uses this directory now.

        This process then uses the directory until it ends.
        """
        self._root.mkdir(parents=True, exist_ok=True)
        users = self._users = (self._root / "users.lock").open("ab")
        if try_lock(users):
            for directory in self._root.iterdir():
                if directory.is_dir():
                    shutil.rmtree(directory)
        # While the lock is released and taken again, another server could only remove old code.
        fcntl.flock(users, fcntl.LOCK_SH)

    def unpack(self, code_sha256: str, archive: bytes) -> Path:
        """Return a directory with the content of ``archive``.

        Parameters
        ----------
        code_sha256 : str
            The archive's SHA-256 in base64, as in Lambda's API.
        archive : bytes
            A zip file.
        """
        directory = self._root / base64.b64decode(code_sha256).hex()
        with self._lock:
            if not directory.is_dir():
                self._extract(archive, directory)
        return directory

    def _extract(self, archive: bytes, directory: Path) -> None:
        self._root.mkdir(parents=True, exist_ok=True)
        # Unpacked under another name and renamed, so a directory with the final name is complete.
        staging = Path(tempfile.mkdtemp(dir=self._root))
        try:
            with zipfile.ZipFile(io.BytesIO(archive)) as package:
                package.extractall(staging)
            staging.replace(directory)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
