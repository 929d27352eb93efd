"""Stacks of caches and of a parameter server become servers on this machine, and go with them."""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from pymemcache import Client as Memcached
from redis import Redis
from redis.exceptions import AuthenticationError, NoPermissionError

from ps_server.over_thrift.client import ParameterClient
from ps_server.protocol.addresses import Credentials
from ps_server.protocol.refusals import AccessDenied
from stepml.certificates import server_secret
from stepml.deployment.artefacts import Artefacts
from stepml.deployment.components import CACHE, NETWORK, SERVER, stack_name, template_of
from stepml.deployment.errors import DeploymentError
from stepml.local.functions.bootstrap import ROUTES, route
from stepml.local.stack_servers.servers import ROUTES_VARIABLE
from tests.support.deployment import delete, deploy, deployer
from tests.support.running_aws import RunningAws, running_aws

NAME, ADDRESS = "served", "10.74.0.10"


@dataclass
class Made:
    """The stacks of servers in a local AWS of their own."""

    aws: RunningAws
    state: Path
    network: dict[str, str]

    def cache(self, **parameters: str) -> dict[str, str]:
        names = ("SubnetIds", "CacheSecurityGroupIds")
        given = {name: self.network[name] for name in names} | parameters
        return deployed(self.aws, CACHE, given)

    def secret(self, name: str, value: dict[str, str]) -> str:
        made = self.aws.client("secretsmanager").create_secret(
            Name=name, SecretString=json.dumps(value)
        )
        return str(made["ARN"])

    def replaced(self, arn: str, value: dict[str, str]) -> tuple[str, str]:
        """Give a secret another value; return its versions, the new one first."""
        secrets = self.aws.client("secretsmanager")
        (before,) = [
            version
            for version, stages in secrets.describe_secret(SecretId=arn)[
                "VersionIdsToStages"
            ].items()
            if "AWSCURRENT" in stages
        ]
        made = secrets.put_secret_value(SecretId=arn, SecretString=json.dumps(value))
        return made["VersionId"], before

    @property
    def trusted(self) -> str:
        return str(self.state / "stack-servers" / "trusted.pem")

    def server(self, channel: str) -> dict[str, Any]:
        (found,) = (each for each in self.aws.status()["servers"] if each["name"] == channel)
        return dict(found)

    def redis(self, url: str, password: str) -> Redis:
        parts = urlsplit(url)
        return Redis(
            host=str(parts.hostname),
            port=int(parts.port or 0),
            username=parts.username,
            password=password,
            ssl=True,
            ssl_ca_certs=self.trusted,
        )


def deployed(aws: RunningAws, component: str, parameters: dict[str, str]) -> dict[str, str]:
    return deploy(
        aws.endpoint_url,
        template_of(component),
        stack_name=stack_name(NAME, component),
        parameters=parameters,
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    state = tmp_path_factory.mktemp("state")
    with running_aws(state) as aws:
        yield Made(aws, state, deployed(aws, NETWORK, {}))
        delete(aws.endpoint_url, stack_name=stack_name(NAME, NETWORK))
        assert aws.client("cloudformation").describe_stacks()["Stacks"] == []
        assert aws.client("ec2").describe_network_interfaces()["NetworkInterfaces"] == []
        assert aws.status()["servers"] == []


def test_the_user_of_redis_has_the_password_of_each_version_that_the_stack_names(
    made: Made,
) -> None:
    arn = made.secret("redis", {"password": "the first password"})
    url = made.cache(RedisSecretArn=arn)["RedisUrl"]
    with made.redis(url, "the first password") as user:
        user.set("jobs/a", "1")
        with pytest.raises(NoPermissionError):
            user.set("other", "1")
    with made.redis(url, "another") as stranger, pytest.raises(AuthenticationError):
        stranger.ping()
    second, first = made.replaced(arn, {"password": "the second password"})
    versions = {"RedisSecretVersion": second, "RedisPreviousVersion": first}
    assert made.cache(RedisSecretArn=arn, **versions)["RedisUrl"] == url
    for password in ("the first password", "the second password"):
        with made.redis(url, password) as user:
            assert user.get("jobs/a") == b"1"  # the server is the same one
    made.cache(RedisSecretArn=arn, RedisSecretVersion=second, RedisPreviousVersion="")
    with made.redis(url, "the first password") as late, pytest.raises(AuthenticationError):
        late.ping()
    delete(made.aws.endpoint_url, stack_name=stack_name(NAME, CACHE))


def test_a_cache_comes_and_goes_with_its_parameter(made: Made) -> None:
    outputs = made.cache(MemcachedNodeType="cache.t4g.small")
    secret = made.aws.client("secretsmanager").get_secret_value(SecretId=outputs["RedisSecretArn"])
    password = json.loads(secret["SecretString"])["password"]
    assert len(password) == 40
    with made.redis(outputs["RedisUrl"], password) as user:
        assert user.ping()
    parts = urlsplit(outputs["MemcachedUrl"])
    context = ssl.create_default_context(cafile=made.trusted)
    cache = Memcached((str(parts.hostname), int(parts.port or 0)), tls_context=context)
    cache.set("a", b"1")
    assert cache.get("a") == b"1"
    cache.close()
    left = made.cache(RedisNodeType="", MemcachedNodeType="cache.t4g.small")
    assert left == {"MemcachedUrl": outputs["MemcachedUrl"]}
    assert [each["name"] for each in made.aws.status()["servers"]] == ["memcached"]
    delete(made.aws.endpoint_url, stack_name=stack_name(NAME, CACHE))


def server_parameters(made: Made, bucket: str, arn: str) -> dict[str, str]:
    return {
        "VpcId": made.network["VpcId"],
        "SubnetId": made.network["FirstSubnetId"],
        "AvailabilityZone": made.network["FirstSubnetZone"],
        "FunctionSecurityGroupId": made.network["SecurityGroupIds"],
        "PrivateIp": ADDRESS,
        "SecretArn": arn,
        "CodeBucket": bucket,
        "MemoryMb": "100",
    }


def test_a_server_has_the_secret_of_the_version_that_the_stack_names(
    made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    connected = deployer(made.aws.endpoint_url)
    Artefacts(connected.connection, connected.place).require_bucket()
    monkeypatch.setattr(socket.socket, "connect", socket.socket.connect)  # restored at the end
    first, other = server_secret([ADDRESS], 30), server_secret([ADDRESS], 30)
    arn = made.secret("server", first)
    given = server_parameters(made, connected.place.bucket, arn)
    url = deployed(made.aws, SERVER, given)["ParameterServerUrl"]
    assert url == f"thrifts://{ADDRESS}:7070"
    route(made.aws.status()["routes"])
    assert answers(url, first)
    version, _ = made.replaced(arn, other)
    deployed(made.aws, SERVER, given | {"SecretVersion": version})
    route(made.aws.status()["routes"])
    assert answers(url, other)
    with pytest.raises(AccessDenied):
        answers(url, {**other, "token": first["token"]})
    delete(made.aws.endpoint_url, stack_name=stack_name(NAME, SERVER))


def answers(url: str, secret: dict[str, str]) -> bool:
    """Return whether the server has this certificate, and admits this token."""
    client = ParameterClient(url, Credentials(secret["token"], secret["certificate"]))
    try:
        return client.server is not None
    finally:
        client.close()


def test_a_secret_that_is_not_there_fails_the_stack_by_its_name(made: Made) -> None:
    arn = "arn:aws:secretsmanager:us-east-1:123456789012:secret:nothing-a1b2c3"
    with pytest.raises(DeploymentError, match=r"Could not find a value.*secret:nothing-a1b2c3"):
        made.cache(RedisSecretArn=arn)
    delete(made.aws.endpoint_url, stack_name=stack_name(NAME, CACHE))


def test_functions_are_told_of_routes_by_the_name_that_they_read() -> None:
    assert ROUTES == ROUTES_VARIABLE
