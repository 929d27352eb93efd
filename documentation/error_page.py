"""The reference of errors, made from their classes and from the table of their remedies."""

from __future__ import annotations

import inspect
import pkgutil
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import stepml
from documentation.markdown import code, from_docstring, table
from stepml.cli.errors import exit_code
from stepml.job import errors as job_errors
from stepml.job.errors import StepMLError

HEAD = """# Every error

A message names the field, the allowed values and the value given, or the object, the rank and the
place of the log. [When something fails](../failures.md) says what to do, and
[why an error is retried](../failures.md#automatic-retries).
"""
PAGE = Path(__file__).parents[1] / "docs" / "failures.md"
# Of errors with an exit code; those of the local AWS and of models reach a person through these.
_HOMES = ("stepml.cli", "stepml.client", "stepml.deployment", "stepml.model_loading", "stepml.job")
_ROW = re.compile(r"^\| `(\w+)` \| `[^`]+` \| ([^|]+) \| (.*) \|$", re.MULTILINE)


def errors_page() -> str:
    """Return the page with every error by name: of jobs, and of commands."""
    remedies = {name: (retried, remedy) for name, retried, remedy in _ROW.findall(_remedies())}
    of_jobs = [
        [code(each.__name__), _about(each), *remedies.get(each.__name__, ("", ""))]
        for each in _subclasses(StepMLError)
        if each.__module__ == job_errors.__name__
    ]
    of_commands = [
        [code(each.__name__), _about(each), str(exit_code(each.__new__(each)))]
        for each in _subclasses(StepMLError)
        if each.__module__ != job_errors.__name__
    ]
    return "\n".join(
        [
            HEAD,
            "## Of jobs\n",
            table(["error", "meaning", "retried", "what happened, and what helps"], of_jobs),
            "## Of commands\n",
            table(["error", "meaning", "exit code"], of_commands),
        ]
    )


def _remedies() -> str:
    """Return the table of errors, whose links begin in ``docs/``, for a page one folder below."""
    text = PAGE.read_text(encoding="utf-8")
    return re.sub(r"\]\((?!#|http)", "](../", text).replace("](#", "](../failures.md#")


def _subclasses(parent: type[StepMLError]) -> Iterator[type[StepMLError]]:
    """Yield the errors of all modules of ``stepml``, each after its parent."""
    if parent is StepMLError:
        for module in pkgutil.walk_packages(stepml.__path__, "stepml."):
            if module.name.startswith(_HOMES):
                import_module(module.name)
    for each in sorted(parent.__subclasses__(), key=lambda error: error.__name__):
        if each.__module__.startswith("stepml"):
            yield each
            yield from _subclasses(each)


def _about(error: type[StepMLError]) -> str:
    """Return the summary of an error's docstring."""
    summary = (inspect.getdoc(error) or "").split("\n\n")[0]
    return from_docstring(summary)
