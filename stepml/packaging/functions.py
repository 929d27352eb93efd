"""The names of the deployed functions, which ``templates/template.yaml`` alone defines."""

from __future__ import annotations

import re

from stepml.packaging.sources import template_path

_FUNCTION_NAME = re.compile(r'^ {6}FunctionName: !Sub "\$\{AWS::StackName\}-([a-z-]+)"', re.M)


def function_names() -> list[str]:
    """Return the names of all functions, without the stack's name: ``executor``."""
    return _FUNCTION_NAME.findall(template_path().read_text(encoding="utf-8"))
