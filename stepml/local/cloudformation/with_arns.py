"""The common part of types of resources that moto's CloudFormation does not have."""

from __future__ import annotations


class WithArn:
    """A resource with an ARN, which ``Fn::GetAtt`` returns.

    moto looks for types among the direct subclasses of its own class, so this one is none of them.
    """

    def __init__(self, name: str, arn: str) -> None:
        self.name = name
        self.arn = arn

    @property
    def physical_resource_id(self) -> str:
        return self.name

    @classmethod
    def has_cfn_attr(cls, attr: str) -> bool:
        return attr == "Arn"

    def get_cfn_attribute(self, attribute_name: str) -> str:
        return self.arn
