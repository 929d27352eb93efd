"""The operations of a service, each called once with parameters of the right types."""

from __future__ import annotations

from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from stepml.local_identity import ACCESS_KEY_ID, REGION, SECRET_ACCESS_KEY

# Of nothing that exists, so that no call changes anything.
NAME = "no-such-thing"


def called(endpoint_url: str, service: Any) -> tuple[list[str], list[str]]:
    """Return the operations that the local AWS has, and those that it refuses as lacking."""
    client: Any = boto3.client(
        service,
        endpoint_url=endpoint_url,
        region_name=REGION,
        aws_access_key_id=ACCESS_KEY_ID,
        aws_secret_access_key=SECRET_ACCESS_KEY,
        config=Config(
            inject_host_prefix=False,
            parameter_validation=False,
            retries={"total_max_attempts": 1},
            s3={"addressing_style": "path"},
        ),
    )
    model = client.meta.service_model
    has, lacks = [], []
    for operation in model.operation_names:
        shape = model.operation_model(operation).input_shape
        (lacks if _is_refused(client, operation, sample(shape)) else has).append(operation)
    return has, lacks


def _is_refused(client: Any, operation: str, parameters: dict[str, Any]) -> bool:
    try:
        client._make_api_call(operation, parameters)
    except ClientError as error:
        return "the local AWS does not have" in error.response["Error"].get("Message", "")
    except (BotoCoreError, ValueError, AttributeError):
        return False  # of the client, for an answer that it cannot read
    return False


def sample(shape: Any) -> Any:
    """Return a value of ``shape`` with all that it requires."""
    if shape is None:
        return {}
    simple = {"integer": 1, "long": 1, "float": 1.0, "double": 1.0, "boolean": False, "blob": b"x"}
    if shape.type_name in simple:
        return simple[shape.type_name]
    if shape.type_name == "structure":
        return {name: sample(shape.members[name]) for name in shape.required_members}
    if shape.type_name in ("list", "map"):
        return [] if shape.type_name == "list" else {}
    if shape.type_name == "timestamp":
        return "2026-01-01T00:00:00Z"
    return next(iter(shape.metadata.get("enum", [])), NAME)
