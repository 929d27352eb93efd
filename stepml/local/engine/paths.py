"""JSONPath as in Step Functions: a path that can match several values yields a list."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from jsonpath_ng.ext.parser import parse
from moto.stepfunctions.parser.asl.component.common.path import result_path
from moto.stepfunctions.parser.asl.component.common.string import string_expression
from moto.stepfunctions.parser.asl.component.intrinsic.argument import argument
from moto.stepfunctions.parser.asl.utils import json_path
from moto.stepfunctions.parser.asl.utils.json_path import NoSuchJsonPathError

from stepml.local.seams import Seams

seams = Seams()

_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")
# Wildcards, deep scans, filters, slices and unions: the path is then "indefinite".
_INDEFINITE = re.compile(r"\.\.|\.\*|\[\s*\*|\[\s*\?|\[[^\]]*[,:]")
_VARIABLE = re.compile(r"\$[A-Za-z_]\w*([.\[].*)?")
_WHY = "returns a single match of $.items[*].a.b bare, one of $.items[0].a as a list, no empty list"
_WHY_PARSED = "parses its path each time, which takes as long as the rest of a state"


@seams.replaces(result_path, "parse", why=_WHY_PARSED)
@seams.replaces(json_path, "parse", why=_WHY_PARSED)
@lru_cache(maxsize=1024)
def parsed(path: str) -> Any:
    """Return the parsed JSONPath; finding and updating values leave it as it is."""
    return parse(path)


@seams.replaces(string_expression, "extract_json", why=_WHY)
@seams.replaces(argument, "extract_json", why=_WHY)
def select(path: str, data: Any) -> Any:
    """Return the value at ``path``, or the list of all matches if ``path`` is indefinite.

    Raises
    ------
    NoSuchJsonPathError
        There is no such value; or the definite beginning of an indefinite path is missing.
    """
    indefinite = _INDEFINITE.search(_QUOTED.sub(lambda name: "_" * len(name[0]), path))
    matches = [match.value for match in parsed(path).find(data)]
    definite = path if indefinite is None else path[: indefinite.start()]
    if not matches and not parsed(definite).find(data):
        raise NoSuchJsonPathError(json_path=path, data=data)
    return matches[0] if indefinite is None else matches


def is_path(text: str) -> bool:
    """Return whether ``text`` is a JSONPath, into the input, the context or a variable."""
    if not text.startswith("$"):
        return False
    in_context = text.removeprefix("$")
    try:
        parsed(in_context if in_context.startswith("$") else text)
    except Exception:  # the parser has no error class of its own
        return bool(_VARIABLE.fullmatch(text))
    return True


def is_definite(path: str) -> bool:
    """Return whether ``path`` can match no more than one value."""
    return _INDEFINITE.search(_QUOTED.sub("_", path)) is None
