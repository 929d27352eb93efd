"""StepML as a whole is deployed over whatever an account has, and again without a change."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from botocore.exceptions import ClientError

from stepml.deployment.application import Application, Overview, Proposal, Wish
from stepml.deployment.changes import described
from stepml.deployment.components import NETWORK, stack_name, template_of
from stepml.deployment.destroying import Destruction
from stepml.deployment.doctor import Doctor, find
from stepml.deployment.errors import DeploymentError
from stepml.deployment.leftovers import log_groups
from stepml.deployment.preflight import PreflightError, identify
from stepml.deployment.records import StackEvent
from stepml.deployment.templates import OwnFiles
from tests.support.deployment import delete, deployer
from tests.support.running_aws import RunningAws


class RefusedError(Exception):
    """Nobody agreed."""


class Trial:
    """A deployment that somebody watches."""

    def __init__(self, aws: RunningAws, name: str) -> None:
        self.aws, self.name = aws, name
        self.proposals: list[Proposal] = []
        self.events: list[StackEvent] = []
        self.agrees = True
        self.tags: dict[str, str] = {}
        self.overviews: list[Overview] = []

    def consent(self, proposal: Proposal) -> None:
        self.proposals.append(proposal)
        if not self.agrees:
            raise RefusedError

    def agree(self, overview: Overview) -> None:
        self.overviews.append(overview)
        if not self.agrees:
            raise RefusedError

    def application(self) -> Application:
        connection = deployer(self.aws.endpoint_url).connection
        return Application(
            connection,
            identify(connection),
            self.name,
            lambda parameters: OwnFiles(),
            self.consent,
            self.events.append,
            tags={"stepml:version": "1", **self.tags},
            agree=self.agree,
        )

    def deploy(self, *added: str, removed: Sequence[str] = (), **parameters: str) -> Any:
        return self.application().deploy(Wish(parameters, added, removed))

    def stacks(self) -> list[str]:
        """Return the ends of the names of the deployment's stacks."""
        found = self.aws.client("cloudformation").describe_stacks()["Stacks"]
        names = [each["StackName"] for each in found]
        return sorted(each[len(self.name) :] for each in names if each.startswith(self.name))

    def secret(self, **content: str) -> None:
        """Make the secret of Redis, before a deployment does."""
        self.aws.client("secretsmanager").create_secret(
            Name=f"{self.name}-redis", SecretString=json.dumps(content)
        )


@pytest.fixture
def trial(aws: RunningAws) -> Iterator[Trial]:
    name = f"a{uuid.uuid4().hex[:8]}"
    yield Trial(aws, name)
    for end in ("", "-cache", "-network"):
        delete(aws.endpoint_url, stack_name=f"{name}{end}")
    bucket = f"{name}-123456789012-us-east-1"
    buckets = aws.client("s3").list_buckets()["Buckets"]
    if bucket in [each["Name"] for each in buckets]:
        aws.client("s3").delete_bucket(Bucket=bucket)


def test_a_second_deployment_asks_uploads_and_changes_nothing(trial: Trial) -> None:
    trial.tags = {"team": "blue"}
    first = trial.deploy()
    trial.tags = {}
    objects = trial.aws.client("s3")
    artefacts = f"stepml-deployments-{identify(trial.application().connection).account}-us-east-1"
    before = objects.list_objects_v2(Bucket=artefacts)["Contents"]
    second = trial.deploy()
    assert (first.is_changed, second.is_changed) == (True, False)
    assert len(trial.proposals) == 1
    assert objects.list_objects_v2(Bucket=artefacts)["Contents"] == before
    assert second.stack.outputs == first.stack.outputs
    assert second.stack.tags == {"stepml:version": "1", "team": "blue"}


def test_the_accounts_limit_becomes_that_of_the_stack(trial: Trial) -> None:
    limits = trial.aws.client("lambda").get_account_settings()["AccountLimit"]
    assert limits["ConcurrentExecutions"] == trial.aws.status()["concurrency"]
    parameters = trial.deploy().stack.parameters
    assert parameters["AccountConcurrency"] == str(limits["ConcurrentExecutions"])
    found = examined(trial, "1")
    assert {subject for subject, (verdict, _) in found.items() if verdict != "ok"} == {"drift"}
    assert found["functions"] == ("ok", "12, all ready")
    too_many = str(limits["ConcurrentExecutions"] + 1)
    trial.deploy(AccountConcurrency=too_many)
    worse = examined(trial, "2")
    assert worse["version"] == ("note", f"{trial.name} has 1, this client is 2: run stepml deploy")
    verdict, words = worse["functions at once"]
    assert (verdict, words.partition(",")[0]) == ("problem", f"the stack plans with {too_many}")


def examined(trial: Trial, version: str) -> dict[str, tuple[str, str]]:
    """Return the doctor's verdict and words for each subject."""
    application = trial.application()
    stack = find(application.connection, trial.name)
    assert stack is not None
    doctor = Doctor(application.connection, application.place, stack, version)
    return {each.subject: (each.verdict, each.words) for each in doctor.findings()}


def test_what_an_earlier_stack_has_left_is_taken_in_or_removed(trial: Trial) -> None:
    objects, logs = trial.aws.client("s3"), trial.aws.client("logs")
    bucket, group = f"{trial.name}-123456789012-us-east-1", log_groups(trial.name)[0]
    objects.create_bucket(Bucket=bucket)
    objects.put_object(Bucket=bucket, Key="model", Body=b"weights")
    logs.create_log_group(logGroupName=group)
    logs.create_log_group(logGroupName=f"{group}-of-somebody-else")
    deployed = trial.deploy()
    (proposal,) = trial.proposals
    assert (proposal.adopted_bucket, proposal.leftovers) == (bucket, (group,))
    assert deployed.stack.outputs["Bucket"] == bucket
    assert objects.get_object(Bucket=bucket, Key="model")["Body"].read() == b"weights"
    names = [
        each["logGroupName"]
        for each in logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"]
    ]
    assert names == [group, f"{group}-of-somebody-else"]
    assert not trial.deploy().is_changed
    objects.delete_object(Bucket=bucket, Key="model")


def test_a_stack_that_was_never_executed_is_no_obstacle(trial: Trial) -> None:
    trial.aws.client("cloudformation").create_change_set(
        StackName=trial.name,
        ChangeSetName="forgotten",
        ChangeSetType="CREATE",
        TemplateBody='{"Resources": {"Group": {"Type": "AWS::Logs::LogGroup"}}}',
    )
    assert trial.deploy().stack.status == "CREATE_COMPLETE"


def test_a_creation_that_failed_half_way_is_made_again(trial: Trial) -> None:
    functions, taken = trial.aws.client("dynamodb"), f"{trial.name}-exchange"
    functions.create_table(
        TableName=taken,
        AttributeDefinitions=[{"AttributeName": "key", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "key", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )
    with pytest.raises(Exception, match=r"ROLLBACK_COMPLETE: ExchangeTable: .*"):
        trial.deploy()
    functions.delete_table(TableName=taken)
    assert trial.deploy().stack.status == "CREATE_COMPLETE"
    statuses = {(event.resource, event.status) for event in trial.events}
    assert ("ExchangeTable", "CREATE_FAILED") in statuses
    assert ("ExchangeTable", "CREATE_COMPLETE") in statuses


def test_without_consent_nothing_is_there(trial: Trial) -> None:
    trial.agrees = False
    with pytest.raises(RefusedError):
        trial.deploy()
    with pytest.raises(ClientError, match="does not exist"):
        trial.aws.client("cloudformation").describe_stacks(StackName=trial.name)
    assert described(trial.proposals[0].change_set)[0].startswith(
        f"stack {trial.name!r} would be created: "
    )


def test_all_problems_are_named_before_anything_is_made(aws: RunningAws) -> None:
    trial = Trial(aws, "Step_ML-with-a-name-that-is-much-too-long-for-a-bucket")
    with pytest.raises(PreflightError) as refused:
        trial.deploy()
    assert [problem.partition(",")[0] for problem in refused.value.problems] == [
        "--stack: expected small letters",
        "--stack: expected at most 40 characters in us-east-1",
    ]
    assert trial.proposals == []


def test_without_consent_no_server_and_no_secret_is_there(trial: Trial) -> None:
    trial.agrees = False
    with pytest.raises(RefusedError):
        trial.deploy("redis")
    (overview,) = trial.overviews
    assert (overview.added, overview.removed, overview.rotated) == (["redis"], [], [])
    assert overview.idle == ["Redis on cache.t4g.small: $19 a month"]
    assert (trial.stacks(), trial.proposals) == ([], [])
    with pytest.raises(ClientError, match="can't find the specified secret"):
        trial.aws.client("secretsmanager").describe_secret(SecretId=f"{trial.name}-redis")


def test_a_deployment_goes_on_behind_a_server_that_failed(trial: Trial) -> None:
    trial.secret(pin="1234")
    reason = r"-cache' is ROLLBACK_COMPLETE: RedisUser: .*password"
    with pytest.raises(DeploymentError, match=reason):
        trial.deploy("redis")
    assert trial.stacks() == ["-cache", "-network"]  # the main stack waits for it
    trial.aws.client("secretsmanager").put_secret_value(
        SecretId=f"{trial.name}-redis", SecretString=json.dumps({"password": "a" * 32})
    )
    stack = trial.deploy("redis").stack
    assert stack.parameters["RedisUrl"].startswith("rediss://stepml@")
    assert stack.parameters["SubnetIds"].count("subnet-") == 2
    n_asked = len(trial.overviews)
    gone = trial.deploy(removed=["redis"])
    assert [trial.overviews[-1].removed, len(trial.overviews)] == [["redis"], n_asked + 1]
    given = ("RedisUrl", "RedisSecretArn", "RedisSecretVersion", "SubnetIds", "SecurityGroupIds")
    assert {gone.stack.parameters[name] for name in given} == {""}
    assert trial.stacks() == ["", "-network"]
    assert trial.deploy().is_changed is False


def test_a_network_goes_when_nothing_is_in_it(trial: Trial) -> None:
    made = trial.application()
    network = deployer(trial.aws.endpoint_url).deploy(
        template_of(NETWORK), stack_name(trial.name, NETWORK), {}
    )
    interfaces = trial.aws.client("ec2")
    left = interfaces.create_network_interface(
        SubnetId=network.outputs["FirstSubnetId"], Description="of somebody else"
    )
    said: list[str] = []
    destruction = Destruction(
        made.connection, made.place, trial.name, say=said.append, interfaces_wait_s=0
    )
    with pytest.raises(
        DeploymentError, match=r"-network' is left, .*: eni-\w+ \(of somebody else\)"
    ):
        destruction.destroy(destruction.inventory(), everything=False)
    assert said == ["waiting until Lambda releases its network interfaces: up to 40 minutes"]
    interface = left["NetworkInterface"]["NetworkInterfaceId"]
    interfaces.delete_network_interface(NetworkInterfaceId=interface)
    destruction.destroy(destruction.inventory(), everything=False)
    assert trial.stacks() == []
