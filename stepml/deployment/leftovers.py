"""Log groups and buckets that outlive a stack, and may be in the way of the next one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from stepml.client.connection import Connection, translated
from stepml.deployment.artefacts import Place
from stepml.deployment.templates import read_template
from stepml.packaging.functions import function_names
from stepml.packaging.sources import template_path


def bucket_name(stack: str, place: Place) -> str:
    """Return the name of the bucket that a stack makes."""
    return f"{stack}-{place.account}-{place.region}"


def log_groups(stack: str) -> list[str]:
    """Return the names of the log groups that a stack makes, as the template has them."""
    resources: Mapping[str, Any] = read_template(template_path())["Resources"]
    return [
        each["Properties"]["LogGroupName"]["Fn::Sub"].replace("${AWS::StackName}", stack)
        for each in resources.values()
        if each["Type"] == "AWS::Logs::LogGroup"
    ]


def former_log_groups(stack: str) -> list[str]:
    """Return the names that the log groups of functions had in earlier versions."""
    return [f"/aws/lambda/{stack}-{function}" for function in function_names()]


def existing_log_groups(
    connection: Connection, stack: str, *, with_former: bool = False
) -> list[str]:
    """Return those of a stack's log groups that exist.

    Parameters
    ----------
    connection : Connection
    stack : str
    with_former : bool
        Whether to return those that a stack of an earlier version has left, too. They are in the
        way of nothing.
    """
    wanted, found = {*log_groups(stack), *(former_log_groups(stack) if with_former else ())}, []
    pages = connection.client("logs").get_paginator("describe_log_groups")
    with translated(connection.endpoint_url):
        for prefix in sorted({name[: name.index(stack)] for name in wanted}):
            for page in pages.paginate(logGroupNamePrefix=f"{prefix}{stack}"):
                found += [each["logGroupName"] for each in page["logGroups"]]
    return sorted(wanted.intersection(found))


def delete_log_groups(connection: Connection, names: Iterable[str]) -> None:
    """Delete log groups with all that is in them."""
    with translated(connection.endpoint_url):
        for name in names:
            connection.client("logs").delete_log_group(logGroupName=name)
