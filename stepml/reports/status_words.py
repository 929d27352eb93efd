"""The status of a job, an attempt or a state in a word, the same one on all pages."""

from __future__ import annotations

_WORDS = {
    "ABORTED": "stopped",
    "PENDING_REDRIVE": "waiting for its retry",
    "CAUGHT": "caught error",
}


def status_word(status: str) -> str:
    """Return a status, as AWS names it, in a word: ``succeeded``, ``stopped``, ``timed out``."""
    return _WORDS.get(status, status.lower().replace("_", " "))
