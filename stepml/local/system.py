"""The operating system under the local AWS."""

from __future__ import annotations

from contextlib import suppress


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


def allow_many_files() -> None:
    """Raise this process's limit of open files as far as the system lets it.

    Each function process needs several; the usual limit of 1,024 is enough for about 200.
    """
    import resource  # not on Windows

    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
