"""How much memory a process has used."""

from __future__ import annotations

import re
from pathlib import Path

# VmHWM is the peak of what was resident, so that no peak between two looks is missed.
_PEAK = re.compile(rb"^VmHWM:\s*(\d+) kB", re.MULTILINE)
_RESIDENT = re.compile(rb"^VmRSS:\s*(\d+) kB", re.MULTILINE)


def peak_memory_mb(pid: int) -> float | None:
    """Return the process's peak resident memory in MB, or None where the system does not tell."""
    try:
        status = Path(f"/proc/{pid}/status").read_bytes()
    except OSError:  # no /proc on this system, or the process has gone
        return None
    found = _PEAK.search(status) or _RESIDENT.search(status)
    return int(found[1]) / 1024 if found else None
