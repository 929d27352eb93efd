"""AWS::DynamoDB::Table: expiry of items, and updates."""

from __future__ import annotations

from typing import Any

from moto.core.exceptions import JsonRESTError
from moto.dynamodb.models import dynamodb_backends
from moto.dynamodb.models.table import Table

from stepml.local.seams import Seams

seams = Seams()

_create_table = vars(Table)["create_from_cloudformation_json"].__func__


@seams.replaces(
    Table,
    "create_from_cloudformation_json",
    why="ignores the expiry of items",
    kind=classmethod,
)
def create_table(
    cls: Any,
    resource_name: str,
    cloudformation_json: Any,
    account_id: str,
    region_name: str,
    **kwargs: Any,
) -> Any:
    table = _create_table(
        cls, resource_name, cloudformation_json, account_id, region_name, **kwargs
    )
    _set_expiry(table, cloudformation_json, account_id, region_name)
    return table


@seams.replaces(
    Table,
    "update_from_cloudformation_json",
    why="has no update",
    kind=classmethod,
)
def update_table(
    cls: Any,
    original_resource: Any,
    new_resource_name: str,
    cloudformation_json: Any,
    account_id: str,
    region_name: str,
) -> Any:
    properties = cloudformation_json["Properties"]
    if properties.get("TableName", original_resource.name) == original_resource.name:
        if properties["KeySchema"] != original_resource.schema:
            # CloudFormation creates the new table before it deletes the old one.
            raise JsonRESTError(
                "ValidationError", f"table {original_resource.name}: a new key needs a new name"
            )
        _set_expiry(original_resource, cloudformation_json, account_id, region_name)
        return original_resource
    replacement = cls.create_from_cloudformation_json(
        new_resource_name, cloudformation_json, account_id, region_name
    )
    cls.delete_from_cloudformation_json(
        original_resource.name, cloudformation_json, account_id, region_name
    )
    return replacement


def _set_expiry(table: Any, resource: Any, account_id: str, region_name: str) -> None:
    given = resource["Properties"].get("TimeToLiveSpecification", {})
    enabled = str(given.get("Enabled", False)).lower() == "true"
    setting = {"Enabled": enabled, "AttributeName": given.get("AttributeName", "")}
    dynamodb_backends[account_id][region_name].update_time_to_live(table.name, setting)
