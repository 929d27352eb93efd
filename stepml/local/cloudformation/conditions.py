"""Updates of stacks whose conditions change: resources come, go, or get other values."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from moto.cloudformation.parsing import ResourceMap

from stepml.local.cloudformation.retention import is_retained
from stepml.local.cloudformation.versions import ALIAS, MACHINE_VERSION, VERSION
from stepml.local.seams import Seams

seams = Seams()

_build_resource_diff = ResourceMap.build_resource_diff
_update = ResourceMap.update

_IF = re.compile(r'"Fn::If": \["(\w+)"')
_WORD = re.compile(r"\w+")
_LATE = frozenset({VERSION, ALIAS, MACHINE_VERSION})


@seams.replaces(
    ResourceMap,
    "build_resource_diff",
    why="does not see that a condition has changed, and takes a default for a change",
)
def resource_diff(self: Any, other_template: Any, parameters: Any = None) -> dict[str, list[str]]:
    before = _values(self)
    after = _values(_loaded(self, other_template, parameters or self.input_parameters))
    changed = {name for name in before | after if before.get(name) != after.get(name)}
    old, new = self._resource_json_map, other_template["Resources"]
    existing = [name for name in old if _exists(old[name], before)]
    wanted = [name for name in new if _exists(new[name], after)]
    given = _changed(self, parameters or {})
    modified = set(_build_resource_diff(self, other_template, given)["Modify"])
    modified |= {name for name in wanted if changed.intersection(_IF.findall(_text(new[name])))}
    added = [name for name in wanted if name not in existing]
    # moto makes first what is added, but a version of a function needs the function's change.
    late = {name for name in added if modified & _named(new[name]) and new[name]["Type"] in _LATE}
    changing = (modified & set(existing)) | late
    return {
        "Add": [name for name in added if name not in late],
        "Modify": _ordered({name: new[name] for name in wanted if name in changing}),
        "Remove": [name for name in existing if name not in wanted and not is_retained(old[name])],
    }


@seams.replaces(ResourceMap, "update", why="does not create again what an update has removed")
def update(self: Any, template: Any, parameters: Any = None) -> None:
    before = set(self._resource_json_map)
    _update(self, template, parameters)
    values = _values(self)
    now = {name for name, each in self._resource_json_map.items() if _exists(each, values)}
    for name in before - now:
        self._parsed_resources.pop(name, None)


def _changed(resources: Any, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of ``parameters`` that have other values than before, given or by default."""
    slots = resources._template.get("Parameters", {})
    before = {name: each.get("Default") for name, each in slots.items()}
    before |= resources.input_parameters
    return {n: value for n, value in parameters.items() if str(before.get(n)) != str(value)}


def _ordered(resources: Mapping[str, Any]) -> list[str]:
    """Return the names of resources, each after those that it names."""
    order: dict[str, None] = {}
    pending: set[str] = set()

    def visit(name: str) -> None:
        if name not in pending:
            pending.add(name)
            for other in sorted(_named(resources[name]) & resources.keys()):
                visit(other)
            order[name] = None

    for name in resources:
        visit(name)
    return [*order]


def _named(resource: Mapping[str, Any]) -> set[str]:
    """Return all words in a resource, among them the names of other resources."""
    return set(_WORD.findall(_text(resource)))


def _loaded(current: Any, template: Any, parameters: Any) -> Any:
    later: Any = ResourceMap(
        current.stack_id,
        current["AWS::StackName"],
        parameters,
        {},
        current._region_name,
        current._account_id,
        template,
        current.cross_stack_resources,
    )
    later.load_mapping()
    later.load_parameters()
    later.load_conditions()
    return later


def _values(resources: Any) -> dict[str, bool]:
    return {
        name: resources.lazy_condition_map[name]
        for name in resources._template.get("Conditions", {})
    }


def _exists(resource: Mapping[str, Any], conditions: Mapping[str, bool]) -> bool:
    return conditions.get(resource.get("Condition", ""), True)


def _text(resource: Mapping[str, Any]) -> str:
    return json.dumps(resource, default=str)
