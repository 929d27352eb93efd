"""Measures the memory of a process."""

from __future__ import annotations

import re
from pathlib import Path

# VmHWM is the peak of resident memory, so no peak between two measurements is missed.
_PEAK = re.compile(rb"^VmHWM:\s*(\d+) kB", re.MULTILINE)
_RESIDENT = re.compile(rb"^VmRSS:\s*(\d+) kB", re.MULTILINE)


def peak_memory_mb(pid: int) -> float | None:
    """Return the process's peak resident memory in MB, or None if the system does not report it."""
    try:
        status = Path(f"/proc/{pid}/status").read_bytes()
    except OSError:  # no /proc on this system, or the process has ended
        return None
    found = _PEAK.search(status) or _RESIDENT.search(status)
    return int(found[1]) / 1024 if found else None
