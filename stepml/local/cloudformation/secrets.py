"""Secrets that stacks make, and references to secrets, resolved when a resource is made."""

from __future__ import annotations

import json
import re
import secrets
import string
from typing import Any, Self

from moto.cloudformation import parsing
from moto.cloudformation.exceptions import ValidationError
from moto.core.common_models import CloudFormationModel
from moto.core.exceptions import JsonRESTError
from moto.secretsmanager.models import secretsmanager_backends

from stepml.local.seams import Seams

seams = Seams()

_parse_resource: Any = parsing.parse_resource
# {{resolve:secretsmanager:ARN:SecretString:field:stage:version}}; the last three may be empty.
_REFERENCE = re.compile(
    r"\{\{resolve:secretsmanager:(?P<arn>[^{}]+?):SecretString"
    r"(?::(?P<field>[^:{}]*)(?::(?P<stage>[^:{}]*)(?::(?P<version>[^:{}]*))?)?)?\}\}"
)


@seams.replaces(parsing, "parse_resource", why="leaves references to secrets as they are")
def parse_resource(resource_json: Any, resources_map: Any) -> Any:
    parsed = _parse_resource(resource_json, resources_map)
    if not parsed:
        return parsed
    resource_class, resource, resource_type = parsed
    where = (resources_map._account_id, resources_map._region_name)
    return resource_class, _resolved(resource, *where), resource_type


def _resolved(value: Any, account_id: str, region: str) -> Any:
    if isinstance(value, dict):
        return {name: _resolved(each, account_id, region) for name, each in value.items()}
    if isinstance(value, list):
        return [_resolved(each, account_id, region) for each in value]
    if isinstance(value, str) and "{{resolve:secretsmanager:" in value:
        return _REFERENCE.sub(lambda found: _secret(found, account_id, region), value)
    return value


def _secret(found: re.Match[str], account_id: str, region: str) -> str:
    backend = secretsmanager_backends[account_id][region]
    version, stage = found["version"] or "", found["stage"] or ""
    if not (version or stage):
        stage = "AWSCURRENT"
    try:
        text = str(backend.get_secret_value(found["arn"], version, stage)["SecretString"])
    except JsonRESTError as error:
        raise ValidationError(
            message=f"Could not find a value associated with the secret {found['arn']}: "
            f"{error.message}"
        ) from error
    if not found["field"]:
        return text
    try:
        return str(json.loads(text)[found["field"]])
    except (ValueError, KeyError, TypeError):
        raise ValidationError(
            message=f"Could not find a value associated with JSONKey {found['field']} in the "
            f"secret {found['arn']}"
        ) from None


class SecretOfStack(CloudFormationModel):
    """AWS::SecretsManager::Secret, which moto's CloudFormation does not have."""

    def __init__(self, arn: str) -> None:
        self.arn = arn

    @staticmethod
    def cloudformation_name_type() -> str:
        return "Name"

    @staticmethod
    def cloudformation_type() -> str:
        return "AWS::SecretsManager::Secret"

    @property
    def physical_resource_id(self) -> str:
        return self.arn

    @classmethod
    def create_from_cloudformation_json(
        cls,
        resource_name: str,
        cloudformation_json: Any,
        account_id: str,
        region_name: str,
        **kwargs: Any,
    ) -> Self:
        given = cloudformation_json["Properties"]
        text = given.get("SecretString") or _generated(given.get("GenerateSecretString", {}))
        made: Any = secretsmanager_backends[account_id][region_name].create_secret(
            name=resource_name,
            secret_string=text,
            secret_binary=None,
            description=given.get("Description", ""),
            tags=None,
            kms_key_id=None,
            client_request_token=None,
            replica_regions=[],
            force_overwrite=False,
        )
        return cls(json.loads(made)["ARN"])

    @classmethod
    def update_from_cloudformation_json(cls, original_resource: Any, *_: Any, **__: Any) -> Any:
        return original_resource  # a generated value stays

    def delete(self, account_id: str, region_name: str) -> None:
        backend = secretsmanager_backends[account_id][region_name]
        backend.delete_secret(
            self.arn, recovery_window_in_days=None, force_delete_without_recovery=True
        )


def _generated(rule: Any) -> str:
    letters = string.ascii_letters + string.digits
    word = "".join(secrets.choice(letters) for _ in range(int(rule.get("PasswordLength", 32))))
    field = rule.get("GenerateStringKey")
    return json.dumps({**json.loads(rule["SecretStringTemplate"]), field: word}) if field else word
