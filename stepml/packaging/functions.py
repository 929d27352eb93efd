"""The names of the deployed functions, which ``templates/template.yaml`` alone defines."""

from __future__ import annotations

import re

from stepml.packaging.sources import template_path

_FUNCTION_NAME = re.compile(r'^ {6}FunctionName: !Sub "\$\{AWS::StackName\}-([a-z-]+)"', re.M)


def function_names() -> list[str]:
    """Return the names of all functions, without the stack's name: ``executor``."""
    return _FUNCTION_NAME.findall(template_path().read_text(encoding="utf-8"))


def log_group(stack: str, function: str) -> str:
    """Return the log group of a stack's function, as the template names it."""
    return f"{log_groups_prefix(stack)}{function}"


def log_groups_prefix(stack: str) -> str:
    """Return the begin of the names of a stack's log groups."""
    return f"/stepml/{stack}/"
