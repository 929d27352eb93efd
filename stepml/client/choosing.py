"""Chooses the AWS of a client: that of an account, another endpoint, or the one on this machine."""

from __future__ import annotations

import os

from stepml.client.connection import ASK_TIMEOUT_S, Connection, connect, connect_local
from stepml.client.endpoints import checked_endpoint
from stepml.local_identity import AnotherProgramError, NoAnswerError, ask, last_endpoint


def chosen_connection(
    endpoint_url: str | None = None, region: str | None = None, profile: str | None = None
) -> Connection:
    """Return a connection to the AWS that is asked for, or else to the local AWS if it runs.

    An endpoint, a region, a profile, or ``AWS_ENDPOINT_URL`` ask for an AWS; see `connect` for
    errors. Without any of them, and without a local AWS, the person's AWS configuration decides.
    """
    if endpoint_url:
        endpoint_url = checked_endpoint(endpoint_url)
    if not (endpoint_url or region or profile or os.environ.get("AWS_ENDPOINT_URL")):
        url = last_endpoint()
        try:
            status = ask(url, ASK_TIMEOUT_S)
        except (AnotherProgramError, NoAnswerError):
            status = None
        if status is not None:
            return connect_local(url, identity=str(status["id"]))
    return connect(endpoint_url, region, profile)
