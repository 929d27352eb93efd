"""Logs of a parameter server: events with fields, as JSON on standard error."""

from __future__ import annotations

import logging
import sys
from functools import partial

from stepml.job import json_logs

# Their lines at level debug are long, and some show headers of requests.
_OTHERS = ("boto3", "botocore", "s3transfer", "urllib3", "grpc")

logger = logging.getLogger("stepml.ps_server")
log = partial(json_logs.log_event, logger)
log_failure = partial(json_logs.log_failure, logger)


def configure(level: str) -> None:
    """Write all events from ``level`` on to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(json_logs.JsonFormatter(has_time=True))
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
    for name in _OTHERS:
        logging.getLogger(name).setLevel(logging.WARNING)
