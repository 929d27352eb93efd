"""The log of the console's server: a line for each mistake, on stderr."""

from __future__ import annotations

import logging
import os

TRACEBACK_VARIABLE = "STEPML_TRACEBACK"
MUTED = {
    "nicegui": logging.ERROR,  # it warns of addresses that do not exist
    "asyncio": logging.ERROR,  # it warns of slow callbacks, as on a busy machine
}


# What uvicorn says at the end of a console that tabs still show.
EXPECTED = "timeout graceful shutdown exceeded"


class _Line(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        kept = logging.makeLogRecord(record.__dict__)
        if kept.exc_info and kept.exc_info[1] is not None:
            error, said = kept.exc_info[1], kept.getMessage()
            reason = f"{type(error).__name__}: {error}"
            kept.msg, kept.args = (reason if said == str(error) else f"{said}: {reason}"), ()
        kept.exc_info = kept.exc_text = kept.stack_info = None
        return super().format(kept).partition("\n")[0]


def log_as_lines() -> None:
    """Write what libraries log as lines without tracebacks, unless these have been asked for."""
    shows_tracebacks = bool(os.environ.get(TRACEBACK_VARIABLE))
    handler = logging.StreamHandler()
    handler.addFilter(lambda record: EXPECTED not in str(record.msg))
    if not shows_tracebacks:
        handler.setFormatter(_Line("%(name)s: %(message)s"))
    logging.getLogger().addHandler(handler)
    logging.getLogger("stepml.console").setLevel(
        logging.DEBUG if shows_tracebacks else logging.WARNING
    )
    for name, level in MUTED.items():
        logging.getLogger(name).setLevel(level)
