"""Whether the services answer, and whether they are still the same."""

from __future__ import annotations

from dataclasses import dataclass

from stepml.client.connection import ASK_TIMEOUT_S, Connection
from stepml.console.feeds import Reading
from stepml.local_identity import AnotherProgramError, NoAnswerError, ask
from stepml.records.errors import EndpointUnreachableError

PAUSE_S = 3.0
ANOTHER = "another local AWS runs there now"  # to a person who has seen the jobs of the one before


@dataclass(frozen=True, slots=True)
class Backend:
    """The services that a console shows.

    Attributes
    ----------
    id : str
        Of the local AWS that is there now; "" for others.
    """

    id: str


def present_id(connection: Connection) -> str:
    """Return the id of the local AWS at an address; "" for AWS, which is not asked.

    What fails there, every view says.

    Raises
    ------
    EndpointUnreachableError
        No local AWS answers.
    """
    if not connection.local_id or connection.endpoint_url is None:
        return ""
    place = connection.endpoint_url
    try:
        answer = ask(place, ASK_TIMEOUT_S)
    except (AnotherProgramError, NoAnswerError) as error:
        raise EndpointUnreachableError(f"no local AWS answers at {place}: {error}") from error
    if answer is None:
        raise EndpointUnreachableError(f"the local AWS at {place} does not run")
    return str(answer["id"])


def pause_of(backend: Backend) -> float | None:
    """Return the seconds until the next look."""
    return PAUSE_S if backend.id else None


def words_of(reading: Reading[Backend]) -> str:
    """Return the complaint about it for a person; "" if all is well."""
    if reading.error is not None:
        since = f" since {reading.read_at:%H:%M:%S} UTC" if reading.read_at else ""
        return f"no answer{since}"
    return ""
