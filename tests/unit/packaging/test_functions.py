"""The names of functions match the template's."""

from __future__ import annotations

from stepml.deployment.templates import read_template
from stepml.packaging.functions import function_names
from stepml.packaging.sources import template_path


def test_every_function_of_the_template_has_its_name() -> None:
    functions = [
        resource["Properties"]["FunctionName"]["Fn::Sub"]
        for resource in read_template(template_path())["Resources"].values()
        if resource["Type"] == "AWS::Serverless::Function"
    ]
    assert [f"${{AWS::StackName}}-{name}" for name in function_names()] == functions
