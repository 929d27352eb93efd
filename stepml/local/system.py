"""The operating systems on which the local AWS runs."""

from __future__ import annotations


class UnsupportedSystemError(Exception):
    """The local AWS does not run on this operating system."""


def require_linux(platform: str) -> None:
    """Raise `UnsupportedSystemError` unless ``platform``, as `sys.platform`, is Linux.

    Function processes and servers of channels end with the local AWS by means of Linux's own
    system calls.
    """
    if platform != "linux":
        raise UnsupportedSystemError(
            f"the local AWS needs Linux, and this system is {platform}; use a container, for "
            'example: docker run -it -v "$PWD":/stepml -w /stepml python:3.13 bash'
        )
