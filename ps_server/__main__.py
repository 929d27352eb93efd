"""Run a parameter server in the foreground: ``python -m ps_server --help``."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
from types import FrameType

from ps_server.logs import configure
from ps_server.process import health
from ps_server.process.service import Service
from ps_server.process.settings import SettingsError, read_settings

_M_ARENA_MAX = -8  # of malloc.h
_ARENAS = 2


def main() -> int:
    """Serve until SIGTERM or SIGINT; a second signal ends the process at once."""
    try:
        settings = read_settings(sys.argv[1:])
        if settings.health and settings.health_listen:
            is_well, answer = health.ask(settings.health_listen)
            print(answer)
            return 0 if is_well else 1
        configure(settings.log_level)
        _limit_arenas()
        stop = _stop_at_signals()
        service = Service(settings)
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 2
    except (OSError, ImportError) as error:
        print(f"the parameter server cannot start: {error}", file=sys.stderr)
        return 1
    return 0 if service.run(stop) else 1


def _stop_at_signals() -> threading.Event:
    stop = threading.Event()

    def on_signal(number: int, frame: FrameType | None) -> None:
        if stop.is_set():
            os._exit(1)
        stop.set()

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)
    return stop


def _limit_arenas() -> None:
    """Let all threads share a few heaps of the C library.

    By default up to eight heaps a processor are made and never given back: twice the memory after
    jobs of many sizes, and no gain in speed.
    """
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)  # glibc only
    if set_option is not None:
        set_option(_M_ARENA_MAX, _ARENAS)


if __name__ == "__main__":
    sys.exit(main())
