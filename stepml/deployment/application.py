"""Deploys StepML as a whole into an account: preflight, packages, stack, and its adoption."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from stepml.client.connection import Connection
from stepml.deployment.artefacts import Place, bucket_exists
from stepml.deployment.deploying import Deployer
from stepml.deployment.leftovers import bucket_name, delete_log_groups, existing_log_groups
from stepml.deployment.preflight import Findings, inspect
from stepml.deployment.records import ChangeSet, StackEvent, StackState
from stepml.deployment.stacks import Stacks
from stepml.deployment.templates import Archives
from stepml.packaging.sources import template_path

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Proposal:
    """Changes that somebody has to agree to."""

    change_set: ChangeSet
    leftovers: tuple[str, ...] = ()  # log groups of an earlier stack, which would be deleted
    adopted_bucket: str = ""  # of an earlier stack, with its models and data


@dataclass(frozen=True, slots=True)
class Deployed:
    """The result of a deployment."""

    stack: StackState
    is_changed: bool
    findings: Findings


@dataclass(slots=True)
class Application:
    """StepML in one account and region, under the name of its stack.

    Parameters
    ----------
    connection : Connection
    place : Place
        The account and region of the connection.
    name : str
        Of the stack.
    archives : callable
        Gets the parameters of the stack; it returns the maker of the functions' zip files.
    consent : callable
        Gets the changes before they are made; it raises an error to refuse them.
    report : callable
        Gets each event of CloudFormation as it comes.
    say : callable
        Gets lines for people.
    """

    connection: Connection
    place: Place
    name: str
    archives: Callable[[Mapping[str, str]], Archives]
    consent: Callable[[Proposal], None]
    report: Callable[[StackEvent], None] = lambda event: None
    say: Say = lambda line: None
    tags: Mapping[str, str] = field(default_factory=dict)

    def deploy(self, parameters: Mapping[str, str]) -> Deployed:
        """Create or update the stack, after everything that can be checked has been checked.

        Parameters
        ----------
        parameters : mapping
            Of the template. Others keep their values, or have their defaults in a new stack.

        Raises
        ------
        PreflightError
            Something is in the way, and nothing was made.
        TemplateError
            CloudFormation refuses the template or a parameter.
        DeploymentError
            CloudFormation failed; the stack is as it was before.
        """
        findings = inspect(self.connection, self.place, self.name)
        for note in findings.notes:
            self.say(f"note: {note}")
        stacks = Stacks(self.connection, self.report)
        before = stacks.ready(self.name)
        bucket = bucket_name(self.name, self.place)
        if before is not None or not bucket_exists(self.connection, bucket, self.place.account):
            bucket = ""
        found = [] if before is not None else existing_log_groups(self.connection, self.name)
        leftovers = tuple(found)
        given = {"AccountConcurrency": str(findings.concurrency), **parameters}
        if bucket:
            given.setdefault("BucketName", bucket)
        archives = self.archives({**(before.parameters if before else {}), **given})
        asked: list[Proposal] = []

        def consent(change_set: ChangeSet) -> None:
            asked.append(Proposal(change_set, leftovers, bucket))
            self.consent(asked[-1])
            delete_log_groups(self.connection, leftovers)

        deployer = Deployer(self.connection, self.place, archives, stacks, consent, tags=self.tags)
        stack = deployer.deploy(template_path(), self.name, given)
        return Deployed(stack, bool(asked), findings)
