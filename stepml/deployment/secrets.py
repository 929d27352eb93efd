"""Secrets of a deployment: made once, kept, replaced on request, deleted with it."""

from __future__ import annotations

import json
import secrets
import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from stepml.client.connection import Connection, translated
from stepml.records.errors import ServiceRefusedError

RECOVERY_DAYS = 7  # the shortest that AWS allows
PASSWORD_LENGTH = 48  # of letters and digits: 285 random bits
_PASSWORD_CHARACTERS = string.ascii_letters + string.digits  # ElastiCache refuses _ and others
_CURRENT = "AWSCURRENT"

Content = Callable[[], Mapping[str, str]]  # makes a new value


@dataclass(frozen=True, slots=True)
class Secret:
    """A secret of Secrets Manager; its value is nowhere here."""

    name: str
    arn: str
    version: str  # the id of the present one
    is_deleted: bool = False  # but can be restored


@dataclass(frozen=True, slots=True)
class Secrets:
    """The secrets of one deployment.

    Parameters
    ----------
    connection : Connection
    stack : str
        The name of the main stack, with which their names begin.
    """

    connection: Connection
    stack: str

    def name(self, channel: str) -> str:
        """Return the name of a channel's secret."""
        return f"{self.stack}-{channel.replace('_', '-')}"

    def find(self, channel: str) -> Secret | None:
        """Return the secret of a channel, or None if there is none."""
        try:
            with translated(self.connection.endpoint_url):
                found = self._service.describe_secret(SecretId=self.name(channel))
        except ServiceRefusedError as error:
            if error.code != "ResourceNotFoundException":
                raise
            return None
        return _secret(found)

    def require(self, channel: str, content: Content, tags: Mapping[str, str]) -> Secret:
        """Return the secret of a channel; make it if there is none, restore it if it is deleted."""
        found = self.find(channel)
        if found is None:
            return self._create(channel, content, tags)
        if found.is_deleted:
            with translated(self.connection.endpoint_url):
                self._service.restore_secret(SecretId=found.arn)
        return found

    def fresh(self, channel: str, content: Content, tags: Mapping[str, str]) -> Secret:
        """Return the secret of a server that is still to be made: a new value in any case.

        The value of an earlier server may be for another address.
        """
        if self.find(channel) is None:
            return self._create(channel, content, tags)
        return self.rotate(channel, content, tags)

    def rotate(self, channel: str, content: Content, tags: Mapping[str, str]) -> Secret:
        """Replace the value of a secret; the one before remains readable by its version."""
        found = self.require(channel, content, tags)
        with translated(self.connection.endpoint_url):
            self._service.put_secret_value(SecretId=found.arn, SecretString=_text(content()))
        return self.find(channel) or found

    def delete(self, secret: Secret, recoverable: bool) -> None:
        """Delete a secret, for good or so that it can be restored for a week."""
        how: Any = (
            {"RecoveryWindowInDays": RECOVERY_DAYS}
            if recoverable
            else {"ForceDeleteWithoutRecovery": True}
        )
        with translated(self.connection.endpoint_url):
            self._service.delete_secret(SecretId=secret.arn, **how)

    def _create(self, channel: str, content: Content, tags: Mapping[str, str]) -> Secret:
        with translated(self.connection.endpoint_url):
            made = self._service.create_secret(
                Name=self.name(channel),
                Description=f"The channel {channel} of StepML's stack {self.stack}.",
                SecretString=_text(content()),
                Tags=[{"Key": key, "Value": value} for key, value in tags.items()],
            )
        return Secret(made["Name"], made["ARN"], made["VersionId"])

    @property
    def _service(self) -> Any:
        return self.connection.client("secretsmanager")


def new_password() -> dict[str, str]:
    """Return the content of a new secret for Redis."""
    characters = (secrets.choice(_PASSWORD_CHARACTERS) for _ in range(PASSWORD_LENGTH))
    return {"password": "".join(characters)}


def _text(content: Mapping[str, str]) -> str:
    return json.dumps(dict(content))


def _secret(found: Any) -> Secret:
    stages: Mapping[str, list[str]] = found.get("VersionIdsToStages", {})
    version = next((each for each, names in stages.items() if _CURRENT in names), "")
    is_deleted = found.get("DeletedDate") is not None
    return Secret(found["Name"], found["ARN"], version, is_deleted)
