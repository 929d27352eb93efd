"""Deploys StepML as a whole into an account: preflight, packages, stack, and its adoption."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from stepml.client.connection import Connection, translated
from stepml.deployment.artefacts import Place
from stepml.deployment.deploying import Deployer
from stepml.deployment.preflight import Findings, inspect
from stepml.deployment.stacks import ChangeSet, StackEvent, Stacks, StackState
from stepml.deployment.templates import Archives, read_template
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
        bucket = "" if before is not None else self._earlier_bucket()
        leftovers = () if before is not None else tuple(self._leftover_groups())
        given = {"AccountConcurrency": str(findings.concurrency), **parameters}
        if bucket:
            given.setdefault("BucketName", bucket)
        archives = self.archives({**(before.parameters if before else {}), **given})
        asked: list[Proposal] = []

        def consent(change_set: ChangeSet) -> None:
            asked.append(Proposal(change_set, leftovers, bucket))
            self.consent(asked[-1])
            self._delete_groups(leftovers)

        deployer = Deployer(self.connection, self.place, archives, stacks, consent, tags=self.tags)
        stack = deployer.deploy(template_path(), self.name, given)
        return Deployed(stack, bool(asked), findings)

    def _earlier_bucket(self) -> str:
        """Return the bucket that a new stack would make, if it exists, else an empty string."""
        from botocore.exceptions import ClientError

        name = f"{self.name}-{self.place.account}-{self.place.region}"
        with translated(self.connection.endpoint_url):
            try:
                self.connection.client("s3").head_bucket(
                    Bucket=name, ExpectedBucketOwner=self.place.account
                )
            except ClientError as error:
                if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
                    return ""
                raise
        return name

    def _leftover_groups(self) -> list[str]:
        """Return the log groups that a new stack would make and that exist."""
        wanted = set(log_groups(self.name))
        found = []
        with translated(self.connection.endpoint_url):
            pages = self.connection.client("logs").get_paginator("describe_log_groups")
            for prefix in sorted({name[: name.index(self.name)] for name in wanted}):
                for page in pages.paginate(logGroupNamePrefix=f"{prefix}{self.name}"):
                    found += [each["logGroupName"] for each in page["logGroups"]]
        return sorted(wanted.intersection(found))

    def _delete_groups(self, names: tuple[str, ...]) -> None:
        with translated(self.connection.endpoint_url):
            for name in names:
                self.connection.client("logs").delete_log_group(logGroupName=name)


def log_groups(stack: str) -> list[str]:
    """Return the names of the log groups of a stack, as the template has them."""
    resources: Mapping[str, Any] = read_template(template_path())["Resources"]
    return [
        each["Properties"]["LogGroupName"]["Fn::Sub"].replace("${AWS::StackName}", stack)
        for each in resources.values()
        if each["Type"] == "AWS::Logs::LogGroup"
    ]
