"""Shows what a deployment would change, and asks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stepml.cli.consent import can_ask, is_confirmed
from stepml.cli.errors import BadInputError
from stepml.cli.progress import lines
from stepml.job.channels import PARAMETER_SERVER
from stepml.job.installing import require_packages
from stepml.records.errors import AccessError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from stepml.cli.output import Output
    from stepml.deployment.application import Overview, Proposal

FREE = "While no job runs, only the contents of its bucket and its logs cost anything."
NOBODY = "nothing was deployed"


class DeployConsent:
    """One question for a whole deployment, and another for each change that loses something.

    Parameters
    ----------
    yes : bool
        Whether everything is agreed to.
    output : Output
    """

    def __init__(self, yes: bool, output: Output) -> None:
        self._yes = yes
        self._output = output
        self._is_agreed = False
        self._has_servers = False

    def require_overview(self, overview: Overview) -> None:
        """Show the servers that would be made or removed, and ask.

        Raises
        ------
        AccessError
            A server needs a certificate, and the library for it is not installed.
        BadInputError
            Nobody agrees.
        """
        if PARAMETER_SERVER in (*overview.added, *overview.rotated):
            name = "the library for certificates"
            require_packages(("cryptography",), name, "server", AccessError)
        self._has_servers = bool(overview.idle)
        lines(_worded(overview), self._output)
        self._require("servers would be made, removed or get new secrets", "Deploy this?")

    def require(self, proposal: Proposal) -> None:
        """Show the changes of a stack, and ask unless somebody has agreed to them.

        Raises
        ------
        BadInputError
            Nobody agrees.
        """
        from stepml.deployment.changes import described, is_dangerous

        change_set = proposal.change_set
        lines(described(change_set), self._output)
        if proposal.adopted_bucket:
            found = f"  it takes in the bucket {proposal.adopted_bucket}, which exists"
            lines([found], self._output)
        if proposal.leftovers:
            groups = f"{len(proposal.leftovers)} log groups of an earlier stack"
            lines([f"  DELETED: {groups}, which would be in the way"], self._output)
        if change_set.is_new and not self._has_servers:
            lines([FREE], self._output)
        is_danger = is_dangerous(change_set)
        if self._is_agreed and not is_danger:
            return
        verb = "created" if change_set.is_new else "changed"
        danger = " What is replaced or deleted loses its content." if is_danger else ""
        self._require(f"stack {change_set.stack_name!r} would be {verb}", f"Deploy this?{danger}")

    def _require(self, change: str, question: str) -> None:
        if not self._yes:
            if not can_ask(self._output):
                raise BadInputError(
                    f"{self._refusal}: {change}, and nobody can be asked here; to agree, add --yes"
                )
            if not is_confirmed(question):
                raise BadInputError(self._refusal)
        self._is_agreed = True

    @property
    def _refusal(self) -> str:
        return "the rest was not deployed" if self._is_agreed else NOBODY


def _worded(overview: Overview) -> Iterator[str]:
    if overview.added:
        yield f"servers would be made for {_listed(overview.added)}, in a network of their own"
    if overview.removed:
        yield f"servers would be DELETED: {_listed(overview.removed)}; jobs over them fail"
    if overview.rotated:
        yield (
            f"new secrets for {_listed(overview.rotated)}; functions and servers start anew, and "
            "jobs that run over them may fail (stepml retry continues them)"
        )
    if overview.idle:
        yield "While no job runs, the servers cost (list prices of us-east-1):"
        yield from (f"  {line}" for line in overview.idle)
    else:
        yield FREE


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)
