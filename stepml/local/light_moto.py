"""Imports moto without the data of services that the local AWS does not have.

moto's engine and its CloudFormation import EC2 and API Gateway. Their tables of regions and of
instance types, and their validator of OpenAPI, take more than half of the time of a start.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

# moto reads this at its first import. CORS headers cost time, and no browser calls.
os.environ.setdefault("MOTO_DISABLE_GLOBAL_CORS", "true")

import boto3
from moto.utilities import utils

from stepml.local_identity import REGION

_DATA, _BY_ZONE = "instance_type_offerings", "availability-zone"


def import_moto() -> None:
    """Import EC2 without its data, and put an empty validator in the place of OpenAPI's."""
    sys.modules |= _validator()
    with (
        _replaced(boto3.Session, "get_available_regions", lambda *_, **__: [REGION]),
        _replaced(utils, "load_resource", lambda path: {}),
    ):
        from moto.ec2.models import instance_types
    instance_types.INSTANCE_TYPE_OFFERINGS[_BY_ZONE] = _Offerings()


class _Offerings(dict[str, Any]):
    """The types of instances in the zones of a region, read when somebody asks."""

    def get(self, region: str, default: Any = None) -> Any:
        if region not in self:
            found = utils.load_resource(f"ec2/resources/{_DATA}/{_BY_ZONE}/{region}.json.gz")
            self[region] = [{**each, "LocationType": _BY_ZONE} for each in found]
        return self[region]


def _validator() -> dict[str, ModuleType]:
    name = "openapi_spec_validator"
    names = (name, f"{name}.validation", f"{name}.validation.exceptions")
    modules: dict[str, Any] = {each: ModuleType(each) for each in names}
    modules[name].validate = lambda specification: None
    modules[names[-1]].OpenAPIValidationError = ValueError
    return modules


@contextmanager
def _replaced(owner: Any, name: str, replacement: Any) -> Iterator[None]:
    before = getattr(owner, name)
    setattr(owner, name, replacement)
    try:
        yield
    finally:
        setattr(owner, name, before)
