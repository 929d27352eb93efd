"""Secrets are made once, kept, replaced on request, and deleted for good or for a while."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest

from stepml.client.connection import Connection, connect_local
from stepml.deployment.records import StackState
from stepml.deployment.secrets import Secrets, new_password
from stepml.deployment.server_findings import examined_servers
from tests.support.moto_server import moto_server


@pytest.fixture(scope="module")
def connection() -> Iterator[Connection]:
    with moto_server() as endpoint_url:
        yield connect_local(endpoint_url)


def value(connection: Connection, arn: str, version: str) -> dict[str, str]:
    found = connection.client("secretsmanager").get_secret_value(SecretId=arn, VersionId=version)
    return dict(json.loads(found["SecretString"]))


def test_a_secret_is_made_once_kept_and_replaced_on_request(connection: Connection) -> None:
    secrets = Secrets(connection, "one")
    assert secrets.find("redis") is None
    made = secrets.require("redis", new_password, {"stepml:version": "1"})
    assert made.name == "one-redis"
    assert secrets.require("redis", new_password, {}) == made
    replaced = secrets.rotate("redis", new_password, {})
    assert replaced.arn == made.arn
    before, after = (
        value(connection, made.arn, version)["password"]
        for version in (made.version, replaced.version)
    )
    assert before != after


def test_elasticache_accepts_every_password() -> None:
    passwords = [new_password()["password"] for _ in range(100)]
    assert len({*passwords}) == 100
    assert all(re.fullmatch("[A-Za-z0-9!&#$^<>-]{32,128}", each) for each in passwords)


def test_a_deleted_secret_comes_back_with_its_value(connection: Connection) -> None:
    secrets = Secrets(connection, "two")
    made = secrets.require("parameter_server", lambda: {"token": "a"}, {})
    assert made.name == "two-parameter-server"
    secrets.delete(made, recoverable=True)
    found = secrets.find("parameter_server")
    assert found is not None
    assert found.is_deleted
    assert secrets.require("parameter_server", lambda: {"token": "b"}, {}).version == made.version
    assert value(connection, made.arn, made.version) == {"token": "a"}
    secrets.delete(made, recoverable=False)
    assert secrets.find("parameter_server") is None


def test_a_new_server_has_a_value_of_its_own(connection: Connection) -> None:
    secrets = Secrets(connection, "four")
    made = secrets.fresh("parameter_server", lambda: {"certificate": "10.74.0.10"}, {})
    assert (
        len(
            connection.client("secretsmanager").list_secret_version_ids(SecretId=made.arn)[
                "Versions"
            ]
        )
        == 1
    )
    secrets.delete(made, recoverable=True)
    after = secrets.fresh("parameter_server", lambda: {"certificate": "10.80.0.10"}, {})
    assert (after.arn, after.is_deleted) == (made.arn, False)
    assert value(connection, after.arn, after.version) == {"certificate": "10.80.0.10"}


def test_a_doctor_sees_secrets_that_functions_do_not_have(connection: Connection) -> None:
    secrets = Secrets(connection, "three")
    made = secrets.require("redis", new_password, {})

    def finding(version: str) -> tuple[str, str]:
        parameters = {"RedisSecretArn": made.arn, "RedisSecretVersion": version}
        main = StackState("id", "three", "CREATE_COMPLETE", {}, parameters, {})
        (found,) = examined_servers(connection, main, "1")
        return found.verdict, found.words

    assert finding(made.version) == ("ok", "three-redis, the version that functions have")
    replaced = secrets.rotate("redis", new_password, {})
    assert finding(made.version)[0] == "problem"
    assert finding(replaced.version)[0] == "ok"
    secrets.delete(replaced, recoverable=True)
    assert finding(replaced.version) == (
        "problem",
        "three-redis is deleted: run stepml deploy, which restores it",
    )
    secrets.delete(replaced, recoverable=False)
    assert finding(replaced.version)[1].startswith("three-redis is gone: run stepml deploy")
    own = "arn:aws:secretsmanager:us-east-1:1:secret:of-somebody-a1b2c3"
    main = StackState("id", "three", "CREATE_COMPLETE", {}, {"RedisSecretArn": own}, {})
    assert [each.verdict for each in examined_servers(connection, main, "1")] == ["ok"]
