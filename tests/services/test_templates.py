"""The templates in CloudFormation: the effects of parameters, and the outputs that match them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from lambdas.channels.storage import StorageChannel
from lambdas.prepare import KINDS_VARIABLE
from stepml.deployment.templates import read_template
from stepml.job import keys
from stepml.job.parse import parse_job
from stepml.packaging.sources import template_path
from storage.redis import RedisStorage
from tests.support.deployment import delete, deploy
from tests.support.jobs import Job
from tests.support.running_aws import RunningAws
from tests.support.servers import redis_server
from tests.support.torch_reason import NEEDS_TORCH

TEMPLATES = template_path().parent
NETWORK, CACHE = TEMPLATES / "network.yaml", TEMPLATES / "cache.yaml"
SERVER = TEMPLATES / "parameter_server.yaml"
EXCHANGING = ("initialise", "prepare", "executor", "merger", "reducer", "finalise")
WITH_TORCH = ("initialise-torch", "executor-torch", "finalise-torch")
OTHERS = ("partition", "partition-parquet", "plan-shards", "assemble", "trigger")
SECRET = "arn:aws:secretsmanager:us-east-1:123456789012:secret:caches-RedisSecret-a1b2c3"
PASSWORD = "the password of a test"
IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/stepml-torch:1"
INSTRUCTIONS = ("ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA", "MKL_CBWR")
SUBNETS, GROUPS = ["subnet-0a1b2c3d", "subnet-4e5f6a7b"], ["sg-0a1b2c3d"]


def deployed(aws: RunningAws, name: str, **parameters: str) -> Iterator[str]:
    outputs = deploy(aws.endpoint_url, template_path(), stack_name=name, parameters=parameters)
    yield name
    aws.client("s3").delete_bucket(Bucket=outputs["Bucket"])
    delete(aws.endpoint_url, stack_name=name)


@pytest.fixture(scope="module")
def alone(aws: RunningAws) -> Iterator[str]:
    """The name of a stack with default parameters."""
    yield from deployed(aws, "alone")


@pytest.fixture(scope="module")
def secret(aws: RunningAws) -> str:
    """The ARN of a secret with the password of Redis."""
    made = aws.client("secretsmanager").create_secret(
        Name="caches", SecretString=json.dumps({"password": PASSWORD})
    )
    return str(made["ARN"])


@pytest.fixture(scope="module")
def cached(aws: RunningAws, secret: str) -> Iterator[str]:
    """The name of a stack with a network, caches and functions that have torch."""
    yield from deployed(
        aws,
        "cached",
        RedisUrl="rediss://stepml@redis.example:6379",
        RedisSecretArn=secret,
        MemcachedUrl="memcacheds://memcached.example:11211",
        TorchImageUri=IMAGE,
        SubnetIds=",".join(SUBNETS),
        SecurityGroupIds=",".join(GROUPS),
    )


def function(aws: RunningAws, stack: str, name: str) -> dict[str, Any]:
    answer = aws.client("lambda").get_function_configuration(FunctionName=f"{stack}-{name}")
    return dict(answer)


def channel_variables(aws: RunningAws, stack: str, name: str) -> dict[str, str]:
    variables: dict[str, str] = function(aws, stack, name)["Environment"]["Variables"]
    pattern = re.compile("STEPML_(DYNAMODB|REDIS|MEMCACHED)_")
    return {key: value for key, value in variables.items() if pattern.match(key)}


@pytest.mark.parametrize("name", EXCHANGING + OTHERS)
def test_without_parameters_dynamodb_is_the_one_service_beside_s3(
    aws: RunningAws, alone: str, name: str
) -> None:
    assert channel_variables(aws, alone, name) == {
        "STEPML_DYNAMODB_TABLE": "alone-exchange",
        "STEPML_REDIS_URL": "",
        "STEPML_REDIS_PASSWORD": "",
        "STEPML_MEMCACHED_URL": "",
    }
    assert "VpcConfig" not in function(aws, alone, name)


def test_a_bucket_admits_encrypted_connections_alone_and_ends_what_was_not_completed(
    aws: RunningAws, alone: str
) -> None:
    objects, bucket = aws.client("s3"), f"{alone}-123456789012-us-east-1"
    policy = json.loads(objects.get_bucket_policy(Bucket=bucket)["Policy"])
    (statement,) = policy["Statement"]
    assert (statement["Effect"], statement["Principal"]) == ("Deny", "*")
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    assert statement["Resource"] == [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"]
    assert all(
        objects.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"].values()
    )
    rules = objects.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
    enabled = [rule["ID"] for rule in rules if rule["Status"] == "Enabled"]
    assert enabled == ["parts-of-uploads", "rows-of-fits"]


def test_parameters_of_operation_reach_what_they_name(aws: RunningAws) -> None:
    parameters = {
        "AlarmEmail": "ops@example.com",
        "Architecture": "arm64",
        "Dashboard": "on",
        "DataSetExpirationDays": "30",
        "ExecutorMemory": "1769",
        "JobEnds": "failed",
        "JobEndTopic": "on",
        "JobExpirationDays": "90",
        "PermissionsBoundary": "arn:aws:iam::123456789012:policy/limits",
        "ReservedConcurrency": "50",
        "Runtime": "python3.13",
        "StateMachineLogs": "ERROR",
        "Tracing": "on",
    }
    for name in deployed(aws, "operated", **parameters):
        executor, prepare = function(aws, name, "executor"), function(aws, name, "prepare")
        assert (executor["MemorySize"], executor["Runtime"]) == (1769, "python3.13")
        assert executor["Environment"]["Variables"]["OPENBLAS_CORETYPE"] == "NEOVERSEN1"
        assert prepare["Environment"]["Variables"]["STEPML_CONCURRENCY"] == "50"
        concurrency = aws.client("lambda").get_function_concurrency(FunctionName=f"{name}-executor")
        assert concurrency["ReservedConcurrentExecutions"] == 50
        rules = aws.client("s3").get_bucket_lifecycle_configuration(
            Bucket=f"{name}-123456789012-us-east-1"
        )["Rules"]
        days = {rule["ID"]: rule.get("Expiration", {}).get("Days") for rule in rules}
        assert days == {
            "parts-of-uploads": None,
            "rows-of-fits": 1,
            "jobs": 90,
            "code-of-jobs": 90,
            "partitioned-data": 30,
        }
        body = aws.client("cloudwatch").get_dashboard(DashboardName=f"{name}-jobs")["DashboardBody"]
        shown = json.dumps(json.loads(body)["widgets"])
        assert '["StepML", "EpochSeconds", "Stack", "' + name in shown
        assert f"stateMachine:{name}-train" in shown
        assert executor["Environment"]["Variables"]["STEPML_METRICS_STACK"] == name
        (alarm,) = aws.client("cloudwatch").describe_alarms(AlarmNames=[f"{name}-failed-jobs"])[
            "MetricAlarms"
        ]
        (topic,) = alarm["AlarmActions"]
        (mail,) = aws.client("sns").list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
        assert (mail["Protocol"], mail["Endpoint"]) == ("email", "ops@example.com")
        rule = aws.client("events").describe_rule(Name=f"{name}-job-ended")
        assert json.loads(rule["EventPattern"])["detail"]["status"] == ["FAILED", "TIMED_OUT"]
        (target,) = aws.client("events").list_targets_by_rule(Rule=rule["Name"])["Targets"]
        ends = aws.client("sns").get_topic_attributes(TopicArn=target["Arn"])["Attributes"]
        (statement,) = json.loads(ends["Policy"])["Statement"]
        assert statement["Condition"] == {"ArnEquals": {"aws:SourceArn": rule["Arn"]}}
        machines = aws.client("stepfunctions")
        for each in machines.list_state_machines()["stateMachines"]:
            if each["name"].startswith(f"{name}-"):
                logs = machines.describe_state_machine(stateMachineArn=each["stateMachineArn"])[
                    "loggingConfiguration"
                ]
                assert (logs["level"], len(logs["destinations"])) == ("ERROR", 1)
        roles = [
            role
            for page in aws.client("iam").get_paginator("list_roles").paginate()
            for role in page["Roles"]
            if role["RoleName"].startswith(f"{name}-")
        ]
        assert len(roles) > 10
        for role in roles:
            described = aws.client("iam").get_role(RoleName=role["RoleName"])["Role"]
            boundary = described["PermissionsBoundary"]["PermissionsBoundaryArn"]
            assert boundary == parameters["PermissionsBoundary"]


def test_the_table_is_the_one_that_the_functions_are_told(aws: RunningAws, alone: str) -> None:
    tables = aws.client("dynamodb")
    table = tables.describe_table(TableName="alone-exchange")["Table"]
    assert table["KeySchema"] == [{"AttributeName": "key", "KeyType": "HASH"}]
    assert table["AttributeDefinitions"] == [{"AttributeName": "key", "AttributeType": "S"}]
    assert table["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"
    expiry = tables.describe_time_to_live(TableName="alone-exchange")["TimeToLiveDescription"]
    assert expiry == {"AttributeName": "expires_at", "TimeToLiveStatus": "ENABLED"}


@pytest.mark.parametrize("name", EXCHANGING + WITH_TORCH)
def test_functions_that_exchange_are_told_of_the_caches_and_run_beside_them(
    aws: RunningAws, cached: str, name: str
) -> None:
    assert channel_variables(aws, cached, name) == {
        "STEPML_DYNAMODB_TABLE": "cached-exchange",
        "STEPML_REDIS_URL": "rediss://stepml@redis.example:6379",
        "STEPML_REDIS_PASSWORD": PASSWORD,
        "STEPML_MEMCACHED_URL": "memcacheds://memcached.example:11211",
    }
    network = function(aws, cached, name)["VpcConfig"]
    assert (network["SubnetIds"], network["SecurityGroupIds"]) == (SUBNETS, GROUPS)


@pytest.mark.parametrize("name", OTHERS)
def test_functions_that_do_not_exchange_stay_out_of_the_network(
    aws: RunningAws, cached: str, name: str
) -> None:
    assert "VpcConfig" not in function(aws, cached, name)


@pytest.mark.parametrize("name", OTHERS)
def test_functions_without_a_channel_have_no_secret(
    aws: RunningAws, cached: str, name: str
) -> None:
    variables = function(aws, cached, name)["Environment"]["Variables"]
    assert [key for key, value in variables.items() if PASSWORD in value] == []


def test_a_bucket_that_exists_is_used_and_stays(aws: RunningAws) -> None:
    objects = aws.client("s3")
    objects.create_bucket(Bucket="of-an-earlier-stack")
    outputs = deploy(
        aws.endpoint_url,
        template_path(),
        stack_name="second",
        parameters={"BucketName": "of-an-earlier-stack"},
    )
    assert outputs["Bucket"] == "of-an-earlier-stack"
    variables = function(aws, "second", "executor")["Environment"]["Variables"]
    assert variables["STEPML_BUCKET"] == "of-an-earlier-stack"
    policies = aws.client("iam")
    found = policies.list_policies(Scope="Local", MaxItems=1000)["Policies"]
    for kind, n_statements in (("StorePolicy", 2), ("DataPolicy", 1)):
        (policy,) = (each for each in found if each["PolicyName"].startswith(f"second-{kind}"))
        version = policies.get_policy_version(
            PolicyArn=policy["Arn"], VersionId=policy["DefaultVersionId"]
        )
        text = json.dumps(version["PolicyVersion"]["Document"]["Statement"])
        assert text.count("arn:aws:s3:::of-an-earlier-stack") >= n_statements
    delete(aws.endpoint_url, stack_name="second")
    objects.delete_bucket(Bucket="of-an-earlier-stack")  # still there


def test_functions_with_torch_exist_if_there_is_an_image(
    aws: RunningAws, alone: str, cached: str
) -> None:
    functions = aws.client("lambda")
    for name in WITH_TORCH:
        with pytest.raises(ClientError, match="ResourceNotFound"):
            functions.get_function_configuration(FunctionName=f"{alone}-{name}")
    groups = aws.client("logs").describe_log_groups(logGroupNamePrefix=f"/stepml/{alone}/")
    assert not [each for each in groups["logGroups"] if each["logGroupName"].endswith("-torch")]
    kinds = {
        stack: function(aws, stack, "prepare")["Environment"]["Variables"][KINDS_VARIABLE]
        for stack in (alone, cached)
    }
    assert kinds == {alone: "", cached: "torch"}


def test_torch_has_the_same_instructions_everywhere_unless_it_may_use_all(
    aws: RunningAws, cached: str
) -> None:
    given = function(aws, cached, "executor-torch")["Environment"]["Variables"]
    assert [given[name] for name in INSTRUCTIONS] == ["avx2", "AVX2", "AVX2"]
    parameters = {"TorchImageUri": IMAGE, "TorchInstructions": "all"}
    for _ in deployed(aws, "all-instructions", **parameters):
        given = function(aws, "all-instructions", "executor-torch")["Environment"]["Variables"]
        assert [given.get(name) for name in INSTRUCTIONS] == [None, None, None]
        assert given["OMP_NUM_THREADS"] == "1"


def test_a_function_with_torch_answers(aws: RunningAws, cached: str) -> None:
    pytest.importorskip("torch", reason=NEEDS_TORCH)
    answer = aws.client("lambda").invoke(FunctionName=f"{cached}-executor-torch", Payload=b"{}")
    assert json.loads(answer["Payload"].read())["errorType"] == "InvalidTaskError"  # of ours


@pytest.mark.parametrize(
    ("parameter", "good", "bad"),
    [
        (
            "RedisUrl",
            [
                "",
                "redis://127.0.0.1:6379",
                "rediss://stepml@master.x.use1.cache.amazonaws.com:6379",
                "rediss://stepml@clustercfg.x:6379?cluster=true",
            ],
            ["redis.example:6379", "redis://host", "http://host:1", "redis://u:secret@host:1"],
        ),
        (
            "MemcachedUrl",
            ["", "memcached://127.0.0.1:11211", "memcacheds://a.example:1,b.example:2"],
            ["memcached://host", "memcached://a:1,", "memcached://a:1,b", "redis://a:1"],
        ),
        ("SubnetIds", ["", SUBNETS[0], ",".join(SUBNETS)], ["vpc-0a", "subnet-0a, subnet-1b"]),
        ("SecurityGroupIds", ["", *GROUPS], ["default", ","]),
        ("BucketName", ["", "stepml-1", "a.b-c"], ["s3://stepml", "Stepml", "a", "-a-"]),
        (
            "TorchImageUri",
            ["", IMAGE, f"{IMAGE[:-2]}@sha256:{'0a' * 32}"],
            ["stepml-torch", "docker.io/library/python", f"{IMAGE} "],
        ),
        (
            "ParameterServerUrl",
            ["", "thrifts://10.0.1.10:7070", "thrift://127.0.0.1:7070"],
            ["grpc://127.0.0.1:7071", "grpcs://10.0.1.10:7071", "10.0.1.10:7070", "thrifts://ps"],
        ),
        ("RedisSecretArn", ["", SECRET], ["caches-RedisSecret", f"{SECRET}:SecretString:x"]),
    ],
)
def test_a_parameter_that_cannot_be_meant_is_refused(
    parameter: str, good: list[str], bad: list[str]
) -> None:
    pattern = read_template(template_path())["Parameters"][parameter]["AllowedPattern"]
    assert [value for value in good if not re.fullmatch(pattern, value)] == []
    assert [value for value in bad if re.fullmatch(pattern, value)] == []


def test_what_one_template_puts_out_the_next_takes_in() -> None:
    network, cache, server, main = (
        read_template(path) for path in (NETWORK, CACHE, SERVER, template_path())
    )
    renamed = {  # the next stack takes one of several
        "SecurityGroupIds": "FunctionSecurityGroupId",
        "FirstSubnetId": "SubnetId",
        "FirstSubnetZone": "AvailabilityZone",
    }
    outputs = set(network["Outputs"])
    other_zone = {name.replace("First", "Second") for name in renamed if "First" in name}
    assert outputs == {"SubnetIds", "CacheSecurityGroupIds", "VpcId", *renamed, *other_zone}
    assert set(cache["Outputs"]) == {"RedisUrl", "RedisSecretArn", "MemcachedUrl"}
    assert set(server["Outputs"]) == {"ParameterServerUrl", "ParameterServerSecretArn"}
    needed = {
        name: {n for n, each in template["Parameters"].items() if "Default" not in each}
        for name, template in (("cache", cache), ("server", server))
    }
    assert needed["cache"] <= outputs
    of_the_person = {"PrivateIp", "SecretArn", "CodeBucket"}
    assert needed["server"] - of_the_person <= {renamed.get(name, name) for name in outputs}
    assert {"SubnetIds", "SecurityGroupIds"} <= set(main["Parameters"])
    assert set(cache["Outputs"]) | set(server["Outputs"]) <= set(main["Parameters"])


def test_each_cache_is_made_only_if_it_is_asked_for() -> None:
    cache = read_template(CACHE)
    described = cache["Resources"] | cache["Outputs"]
    conditions = cache["Conditions"]
    assert conditions["HasOwnSecret"]["Fn::And"][0] == {"Condition": "HasRedis"}
    assert described.pop("RedisSecret")["Condition"] == "HasOwnSecret"
    for name in described.keys() - {"Subnets"}:
        assert described[name]["Condition"] == (
            "HasMemcached" if name.startswith("Memcached") else "HasRedis"
        )


def test_nothing_in_a_cache_is_unencrypted_or_kept() -> None:
    resources = read_template(CACHE)["Resources"]
    for name in ("Redis", "Memcached"):
        assert resources[name]["Properties"]["TransitEncryptionEnabled"] is True
        assert resources[name]["DeletionPolicy"] == "Delete"


def network_stack(aws: RunningAws, name: str, **parameters: str) -> dict[str, str]:
    stacks = aws.client("cloudformation")
    stacks.create_stack(
        StackName=name,
        TemplateBody=NETWORK.read_text(),
        Parameters=[
            {"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()
        ],
    )
    (stack,) = stacks.describe_stacks(StackName=name)["Stacks"]
    return {each["OutputKey"]: each["OutputValue"] for each in stack["Outputs"]}


@pytest.mark.parametrize(
    ("zones", "expected"),
    [
        ({}, ("us-east-1a", "us-east-1b")),
        ({"FirstZone": "us-east-1d", "SecondZone": "us-east-1a"}, ("us-east-1d", "us-east-1a")),
    ],
)
def test_the_subnets_are_in_the_zones_that_are_asked_for(
    aws: RunningAws, zones: dict[str, str], expected: tuple[str, str]
) -> None:
    outputs = network_stack(aws, f"network-{'-'.join(expected)}", **zones)
    subnets = aws.client("ec2").describe_subnets(SubnetIds=outputs["SubnetIds"].split(","))
    zone_of = {each["SubnetId"]: each["AvailabilityZone"] for each in subnets["Subnets"]}
    for which, zone in zip(("First", "Second"), expected, strict=True):
        assert outputs[f"{which}SubnetZone"] == zone
        assert zone_of[outputs[f"{which}SubnetId"]] == zone


def test_the_network_leads_to_s3_dynamodb_and_the_caches_alone(aws: RunningAws) -> None:
    network = aws.client("ec2")
    outputs = network_stack(aws, "network")
    subnets = network.describe_subnets(SubnetIds=outputs["SubnetIds"].split(","))["Subnets"]
    assert len({each["AvailabilityZone"] for each in subnets}) == 2
    vpc = [{"Name": "vpc-id", "Values": [subnets[0]["VpcId"]]}]
    tables = network.describe_route_tables(Filters=vpc)["RouteTables"]
    (table,) = (each["RouteTableId"] for each in tables if not each["Associations"])  # not main
    endpoints = network.describe_vpc_endpoints(Filters=vpc)["VpcEndpoints"]
    assert {
        (each["ServiceName"], each["VpcEndpointType"], *each["RouteTableIds"]) for each in endpoints
    } == {
        ("com.amazonaws.us-east-1.s3", "Gateway", table),
        ("com.amazonaws.us-east-1.dynamodb", "Gateway", table),
    }
    (group,) = network.describe_security_groups(GroupIds=[outputs["CacheSecurityGroupIds"]])[
        "SecurityGroups"
    ]
    assert {
        (rule["FromPort"], rule["ToPort"], rule["UserIdGroupPairs"][0]["GroupId"])
        for rule in group["IpPermissions"]
    } == {(port, port, outputs["SecurityGroupIds"]) for port in (6379, 11211)}
    # moto loses the subnets of a route table.
    described = read_template(NETWORK)["Resources"].values()
    routed = [
        each["Properties"]["SubnetId"]
        for each in described
        if each["Type"] == "AWS::EC2::SubnetRouteTableAssociation"
        and each["Properties"]["RouteTableId"] == {"Ref": "RouteTable"}
    ]
    assert routed == [{"Ref": "FirstSubnet"}, {"Ref": "SecondSubnet"}]
    assert network.describe_nat_gateways(Filters=vpc)["NatGateways"] == []
    assert network.describe_internet_gateways()["InternetGateways"] == []


def test_the_user_of_redis_may_do_what_the_channel_does_and_no_more(tmp_path: Path) -> None:
    access = read_template(CACHE)["Resources"]["RedisUser"]["Properties"]["AccessString"]
    prefix = keys.exchange_prefix("job", "0123456789abcdef")
    with redis_server(tmp_path) as server:
        from redis import Redis
        from redis.exceptions import NoPermissionError, ResponseError

        with Redis.from_url(server.url) as admin:
            admin.execute_command("ACL", "SETUSER", "stepml", ">secret", *access.split())
        url = server.url.replace("redis://", "redis://stepml@")
        storage = RedisStorage(url, password="secret")
        storage.save_many({f"{prefix}a": b"1", f"{prefix}b": b"2"})
        storage.save(f"{prefix}c", b"3")
        assert storage.publish(f"{prefix}c", b"4") == b"3"
        assert storage.wait_many([f"{prefix}c"], timeout_s=5) == {f"{prefix}c": b"3"}
        assert storage.find_many([f"{prefix}a", f"{prefix}x"]) == {f"{prefix}a"}
        _, version = storage.load_version(f"{prefix}a")
        assert storage.compare_and_save(f"{prefix}a", b"5", version)
        storage.clear(prefix)
        assert [*storage.list(prefix)] == []
        redis_job = parse_job(Job().spec | {"exchange": {"channel": "redis"}})
        StorageChannel(redis_job, prefix, lambda: storage).require_answer()
        storage.close()
        with Redis.from_url(url, password="secret") as user:
            # These need a cluster, but the user may call them.
            for allowed in (["CLUSTER", "SLOTS"], ["CLUSTER", "SHARDS"]):
                with pytest.raises(ResponseError, match="cluster support disabled"):
                    user.execute_command(*allowed)
            for refused in (["FLUSHALL"], ["CONFIG", "GET", "*"], ["SET", "other", "1"]):
                with pytest.raises(NoPermissionError):
                    user.execute_command(*refused)
