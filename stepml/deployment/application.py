"""Deploys StepML as a whole into an account: preflight, packages, stacks, and their adoption."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from stepml.client.connection import Connection
from stepml.deployment import parameter_values
from stepml.deployment import parameters as names
from stepml.deployment.artefacts import Place, bucket_exists
from stepml.deployment.components import COMPONENTS, MAIN, Plan, is_component, stack_name
from stepml.deployment.deploying import Deployer
from stepml.deployment.idle import idle_lines
from stepml.deployment.leftovers import bucket_name, delete_log_groups, existing_log_groups
from stepml.deployment.names import problems, user_problems
from stepml.deployment.preflight import Findings, inspect
from stepml.deployment.records import ChangeSet, StackEvent, StackState
from stepml.deployment.server_preflight import Survey
from stepml.deployment.servers import Servers
from stepml.deployment.stacks import Stacks, is_whole
from stepml.deployment.templates import Archives, OwnFiles
from stepml.packaging.sources import template_path

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Proposal:
    """Changes of a stack that somebody has to agree to."""

    change_set: ChangeSet
    leftovers: tuple[str, ...] = ()  # log groups of an earlier stack, which would be deleted
    adopted_bucket: str = ""  # of an earlier stack, with its models and data


@dataclass(frozen=True, slots=True)
class Overview:
    """Servers that somebody has to agree to, before the first of several stacks is changed."""

    added: Sequence[str]  # channels
    removed: Sequence[str]
    rotated: Sequence[str]  # channels whose secrets get new values
    idle: Sequence[str]  # lines for people: what all servers cost while no job runs


@dataclass(frozen=True, slots=True)
class Deployed:
    """The result of a deployment."""

    stack: StackState
    is_changed: bool
    findings: Findings


@dataclass(frozen=True, slots=True)
class Wish:
    """Changes to a deployment that somebody wants; everything else stays as it is.

    Parameters
    ----------
    parameters : mapping
        Of the templates. Others keep their values, or have their defaults in a new stack.
    added, removed : collection of str
        Channels that get, or lose, a server.
    rotates : bool
        Whether the secrets of servers get new values.
    """

    parameters: Mapping[str, str] = field(default_factory=dict)
    added: Collection[str] = ()
    removed: Collection[str] = ()
    rotates: bool = False


@dataclass(slots=True)
class Application:
    """StepML in one account and region, under the name of its stack.

    Parameters
    ----------
    connection : Connection
    place : Place
        The account and region of the connection.
    name : str
        Of the main stack.
    archives : callable
        Gets the parameters of the stack; it returns the maker of the functions' zip files.
    consent : callable
        Gets the changes of a stack before they are made; it raises an error to refuse them.
    agree : callable
        Gets the servers that would be made or removed, before any stack is changed; likewise.
    report : callable
        Gets each event of CloudFormation as it comes.
    say : callable
        Gets lines for people.
    tags : mapping
        Of all stacks, and of their resources; those that a stack has remain.
    """

    connection: Connection
    place: Place
    name: str
    archives: Callable[[Mapping[str, str]], Archives]
    consent: Callable[[Proposal], None]
    report: Callable[[StackEvent], None] = lambda event: None
    say: Say = lambda line: None
    tags: Mapping[str, str] = field(default_factory=dict)
    agree: Callable[[Overview], None] = lambda overview: None

    def deploy(self, wish: Wish) -> Deployed:
        """Create or update the stacks, after everything that can be checked has been checked.

        Raises
        ------
        PreflightError
            Something is in the way, and nothing was made.
        TemplateError
            CloudFormation refuses the template or a parameter.
        DeploymentError
            CloudFormation failed; the stack is as it was before.
        """
        before = self._existing()
        plan = Plan.of(before, wish.added, wish.removed)
        types = names.types(before, wish.parameters)
        site = Survey(self.connection, plan, before, wish.parameters, types).site()
        found = [
            *site.problems,
            *user_problems(self.name, plan),
            *names.problems(plan, wish.parameters),
            *parameter_values.problems(wish.parameters),
        ]
        findings = inspect(self.connection, self.place, self.name, found)
        for note in (*findings.notes, *site.notes):
            self.say(f"note: {note}")
        for channel in sorted({*wish.removed} - plan.present):
            self.say(f"note: --without {channel}: this deployment has no such server")
        self._agree(plan, types, wish.rotates)
        asked: list[Proposal] = []
        consent = partial(self._consent, asked)
        servers = Servers(
            self._deployer(
                before.get(MAIN), OwnFiles(), lambda change_set: consent(Proposal(change_set))
            ),
            *(self.name, before, plan, wish.parameters, types, site, self.archives),
            wish.rotates,
        )
        given = {
            "AccountConcurrency": str(findings.concurrency),
            **servers.deploy(),
            **names.of_main(wish.parameters),
        }
        stack = self._deploy_main(given, consent)
        servers.remove()
        return Deployed(stack, bool(asked or plan.removed), findings)

    def _existing(self) -> dict[str, StackState]:
        """Return the stacks that can be changed, by component; nothing is changed now."""
        if any(problems(self.name, self.place)):
            return {}
        stacks = Stacks(self.connection, self.report)
        found = {each: stacks.find(stack_name(self.name, each)) for each in COMPONENTS}
        return {
            name: stack
            for name, stack in found.items()
            if stack and is_whole(stack) and is_component(stack, name)
        }

    def _agree(self, plan: Plan, types: Mapping[str, str], rotates: bool) -> None:
        rotated = [each for each in plan.secret_channels if rotates and each in plan.present]
        if plan.added or plan.removed or rotated:
            idle = idle_lines(plan.ordered, types)
            self.agree(Overview(plan.added, plan.removed, rotated, idle))

    def _consent(self, asked: list[Proposal], proposal: Proposal) -> None:
        asked.append(proposal)
        self.consent(proposal)

    def _deployer(
        self, main: StackState | None, archives: Archives, consent: Callable[[ChangeSet], None]
    ) -> Deployer:
        stacks = Stacks(self.connection, self.report)
        kept = {} if main is None else main.own_tags
        tags = {**kept, **self.tags}
        return Deployer(self.connection, self.place, archives, stacks, consent, tags=tags)

    def _deploy_main(
        self, given: dict[str, str], consent: Callable[[Proposal], None]
    ) -> StackState:
        before = Stacks(self.connection, self.report).ready(self.name)
        bucket = bucket_name(self.name, self.place)
        if before is not None or not bucket_exists(self.connection, bucket, self.place.account):
            bucket = ""
        found = [] if before is not None else existing_log_groups(self.connection, self.name)
        leftovers = tuple(found)
        if bucket:
            given.setdefault("BucketName", bucket)
        archives = self.archives({**(before.parameters if before else {}), **given})

        def agreed(change_set: ChangeSet) -> None:
            consent(Proposal(change_set, leftovers, bucket))
            delete_log_groups(self.connection, leftovers)

        return self._deployer(before, archives, agreed).deploy(template_path(), self.name, given)
