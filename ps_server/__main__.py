"""Run a parameter server in the foreground: ``python -m ps_server --help``."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
from collections.abc import Sequence
from types import FrameType

from ps_server.logs import configure
from ps_server.process import health
from ps_server.process.service import Service
from ps_server.process.settings import SettingsError, read_options, settings_of

_M_ARENA_MAX = -8  # of malloc.h
_ARENAS = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT; a second one ends at once."""
    try:
        options = read_options(arguments)
        if options.health:
            return _tell_health(options.health_listen)
        settings = settings_of(options)
        configure(settings.log_level)
        _limit_arenas()
        stop = threading.Event()

        def on_signal(number: int, frame: FrameType | None) -> None:
            if stop.is_set():
                os._exit(1)
            stop.set()

        signal.signal(signal.SIGTERM, on_signal)
        signal.signal(signal.SIGINT, on_signal)
        service = Service(settings)
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 2
    except (OSError, ImportError) as error:
        print(f"the parameter server cannot start: {error}", file=sys.stderr)
        return 1
    return 0 if service.run(stop) else 1


def _limit_arenas() -> None:
    """Have all threads share a few heaps of the C library.

    It would give each connection's thread one of its own, up to eight a processor, which are not
    given back: twice the memory after jobs of many sizes, and nothing is faster by it.
    """
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)  # others than glibc's have none
    if set_option is not None:
        set_option(_M_ARENA_MAX, _ARENAS)


def _tell_health(listen: str) -> int:
    host, _, port = listen.rpartition(":")
    if not port.isdigit():
        raise SettingsError(f"--health-listen: expected HOST:PORT, got {listen!r}")
    is_well, told = health.ask((host.strip("[]"), int(port)))
    print(told)
    return 0 if is_well else 1


if __name__ == "__main__":
    sys.exit(main())
