"""Looks at account and region before anything is made, and names all problems at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from stepml.client.connection import Connection, translated
from stepml.deployment import names
from stepml.deployment.artefacts import Place
from stepml.deployment.errors import DeploymentError
from stepml.records.errors import CredentialsError, ServiceRefusedError

USUAL_CONCURRENCY = 1000  # of an account; new ones have less


class PreflightError(DeploymentError):
    """Something in the account, the region or the arguments is in the way; nothing was made.

    Attributes
    ----------
    problems : tuple of str
        Everything that was found.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        count = "a problem" if len(problems) == 1 else f"{len(problems)} problems"
        listed = "\n".join(f"  {problem}" for problem in problems)
        super().__init__(f"{count}, and nothing was made:\n{listed}")


@dataclass(frozen=True, slots=True)
class Findings:
    """Limits of the account."""

    concurrency: int  # functions that run at once
    unreserved: int  # of these, those that no other function has reserved

    @property
    def notes(self) -> list[str]:
        """Lines for people on limits that are lower than usual."""
        if self.unreserved >= USUAL_CONCURRENCY:
            return []
        return [
            f"this account runs {self.unreserved} functions at once: jobs with more workers in "
            "flight are refused, and others take turns (AWS raises the limit on request)"
        ]


def identify(connection: Connection) -> Place:
    """Return the account and region of a connection.

    Raises
    ------
    CredentialsError
        No region is chosen, or AWS knows no such credentials.
    """
    region = connection.session.region_name
    if not region:
        raise CredentialsError("no region is chosen: add --region, or set AWS_REGION")
    with translated(connection.endpoint_url):
        identity = connection.client("sts").get_caller_identity()
    return Place(identity["Account"], region, identity["Arn"].split(":")[1])


def inspect(
    connection: Connection, place: Place, stack: str, found: Sequence[str] = ()
) -> Findings:
    """Return the account's limits.

    Parameters
    ----------
    connection : Connection
    place : Place
    stack : str
        Its name.
    found : sequence of str
        Problems that are known already.

    Raises
    ------
    PreflightError
        A name, a permission or a limit is in the way.
    """
    problems = [*names.problems(stack, place), *found]
    limits: Any = {}
    try:
        with translated(connection.endpoint_url):
            limits = connection.client("lambda").get_account_settings()["AccountLimit"]
    except ServiceRefusedError as error:
        problems.append(f"Lambda's limits cannot be read ({error}): lambda:GetAccountSettings")
    if problems:
        raise PreflightError(problems)
    return Findings(limits["ConcurrentExecutions"], limits["UnreservedConcurrentExecutions"])
