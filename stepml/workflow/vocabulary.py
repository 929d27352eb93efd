"""The classes of the SDK that build states, and the words of states that these lack."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from functools import cache
from typing import Any

from stepml.workflow.library import sdk_module


class Word(Enum):
    """A field of Amazon States Language that the SDK does not know, as it would name it."""

    ResultSelector = "result_selector"
    ItemSelector = "item_selector"
    MaxConcurrencyPath = "max_concurrency_path"
    MaxDelaySeconds = "max_delay_seconds"
    JitterStrategy = "jitter_strategy"


@dataclass(frozen=True)
class Vocabulary:
    """The classes of states by type, and those of their retriers and catchers."""

    states: dict[str, Any]
    retry: Any
    catch: Any
    rule: Any
    compound_rule: Any
    not_rule: Any


@cache
def sdk_vocabulary() -> Vocabulary:
    """Return the SDK's own classes."""
    steps, rules = sdk_module("stepfunctions.steps"), sdk_module("stepfunctions.steps.choice_rule")
    kinds = ("Task", "Choice", "Map", "Pass", "Wait", "Succeed", "Fail")
    return Vocabulary(
        {each: getattr(steps, each) for each in kinds},
        steps.Retry,
        steps.Catch,
        rules.Rule,
        rules.CompoundRule,
        rules.NotRule,
    )


@cache
def full_vocabulary() -> Vocabulary:
    """Return the SDK's classes, of which those for tasks, maps and retriers know our words, too."""
    own = sdk_vocabulary()
    task = _with_words(own.states["Task"], Word.ResultSelector)
    plain_map = _with_words(
        own.states["Map"], Word.ResultSelector, Word.ItemSelector, Word.MaxConcurrencyPath
    )
    retry = _with_words(own.retry, Word.MaxDelaySeconds, Word.JitterStrategy)
    states = own.states | {"Task": task, "Map": _with_processor(plain_map)}
    return Vocabulary(states, retry, own.catch, own.rule, own.compound_rule, own.not_rule)


def _with_words(parent: Any, *words: Word) -> Any:
    def allowed_fields(self: Any) -> list[Enum]:
        return [*parent.allowed_fields(self), *words]

    return type(parent.__name__, (parent,), {"allowed_fields": allowed_fields})


def _with_processor(parent: Any) -> Any:
    def to_dict(self: Any) -> dict[str, Any]:
        written = dict(parent.to_dict(self))
        processor = {"ProcessorConfig": {"Mode": "INLINE"}, **written.pop("Iterator")}
        return {**written, "ItemProcessor": processor}

    return type(parent.__name__, (parent,), {"to_dict": to_dict})
