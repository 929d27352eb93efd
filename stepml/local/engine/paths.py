"""JSONPath as Step Functions evaluates it: a path that may match several values gives a list."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from jsonpath_ng.ext.parser import parse
from moto.stepfunctions.parser.asl.component.common.string import string_expression
from moto.stepfunctions.parser.asl.component.intrinsic.argument import argument
from moto.stepfunctions.parser.asl.utils.json_path import NoSuchJsonPathError

from stepml.local.seams import Seams

seams = Seams()

_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")
# Wildcards, deep scans, filters, slices and unions: the path is then "indefinite".
_INDEFINITE = re.compile(r"\.\.|\.\*|\[\s*\*|\[\s*\?|\[[^\]]*[,:]")
_WHY = (
    "gives a single match of $.items[*].a.b bare, one of $.items[0].a in a list, and no empty list"
)


@seams.replaces(string_expression, "extract_json", why=_WHY)
@seams.replaces(argument, "extract_json", why=_WHY)
def select(path: str, data: Any) -> Any:
    """Return what ``path`` selects: all that matches if it is indefinite, else the one value.

    Raises
    ------
    NoSuchJsonPathError
        There is no such value; of an indefinite path, its definite beginning is missing.
    """
    indefinite = _INDEFINITE.search(_QUOTED.sub(lambda name: "_" * len(name[0]), path))
    matches = [match.value for match in _parsed(path).find(data)]
    definite = path if indefinite is None else path[: indefinite.start()]
    if not matches and not _parsed(definite).find(data):
        raise NoSuchJsonPathError(json_path=path, data=data)
    return matches[0] if indefinite is None else matches


@lru_cache(maxsize=1024)
def _parsed(path: str) -> Any:
    return parse(path)
