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

    Functions with equal code share a directory; code that is in place is never written again, so
    running processes keep the files they were started from.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._lock = threading.Lock()
        self._users: IO[bytes] | None = None  # locked by every server that uses the directory

    def remove_unused(self) -> None:
        """Remove the code that earlier servers left, unless a server uses this directory now.

        Until this process ends, other servers find it in use.
        """
        self._root.mkdir(parents=True, exist_ok=True)
        users = self._users = (self._root / "users.lock").open("ab")
        if try_lock(users):
            for directory in self._root.iterdir():
                if directory.is_dir():
                    shutil.rmtree(directory)
        # Nothing of ours is there yet that another could remove while the lock changes hands.
        fcntl.flock(users, fcntl.LOCK_SH)

    def unpack(self, code_sha256: str, archive: bytes) -> Path:
        """Return the directory that holds the content of ``archive``.

        Parameters
        ----------
        code_sha256 : str
            The archive's SHA-256 in base64, as Lambda writes it.
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
        # Unpacked aside and renamed, so a directory under its final name is whole.
        staging = Path(tempfile.mkdtemp(dir=self._root))
        try:
            with zipfile.ZipFile(io.BytesIO(archive)) as package:
                package.extractall(staging)
            staging.replace(directory)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
