"""Values of parameters that CloudFormation would refuse, found before anything is made.

CloudFormation looks at the parameters of one stack at a time, when those before it are there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from stepml.deployment.components import COMPONENTS, template_of
from stepml.deployment.templates import read_template


def problems(given: Mapping[str, str]) -> Iterator[str]:
    """Yield what is wrong with the values of parameters, each once.

    Parameters
    ----------
    given : mapping
        Values by the names of parameters, of whichever template.
    """
    templates = [read_template(template_of(each))["Parameters"] for each in COMPONENTS]
    for name, value in given.items():
        definitions = [each[name] for each in templates if name in each]
        expected = next(filter(None, (_expected(each, value) for each in definitions)), "")
        if expected:
            yield f"--parameter {name}: expected {expected}, got {value!r}"


def _expected(definition: Mapping[str, Any], value: str) -> str:
    """Return the accepted values of a parameter in words if ``value`` is none of them, else ""."""
    allowed = [str(each) for each in definition.get("AllowedValues", ())]
    if allowed and value not in allowed:
        return f"one of {', '.join(allowed)}"
    pattern = definition.get("AllowedPattern", ".*")
    if re.fullmatch(pattern, value, re.DOTALL) is None:
        return str(definition.get("ConstraintDescription", f"a match of {pattern}"))
    if definition["Type"] == "Number":
        return _expected_number(definition, value)
    return ""


def _expected_number(definition: Mapping[str, Any], value: str) -> str:
    least, most = definition.get("MinValue"), definition.get("MaxValue")
    is_number = re.fullmatch(r"-?\d+", value) is not None
    fits = is_number and (least is None or int(value) >= least)
    if fits and (most is None or int(value) <= most):
        return ""
    bounds = [
        f"{words} {each}" for words, each in (("from", least), ("to", most)) if each is not None
    ]
    return " ".join(["a whole number", *bounds])
