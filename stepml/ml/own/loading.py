"""Objects of the user's own classes, for one job."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from stepml.job.errors import InvalidCodeError
from stepml.ml.own.blame import blamed, place_of
from stepml.ml.own.code import imported_function
from stepml.ml.own.models import Array

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class OwnClass:
    """A class in the job's code.

    Attributes
    ----------
    field : str
        The field of the job that names it.
    entry_point : str
        ``package.module:Class``.
    options : mapping
        Its keyword arguments.
    code : Path, or None
        The directory of the code; None: it is unknown, and nothing of it runs.
    """

    field: str
    entry_point: str
    options: Mapping[str, Any]
    code: Path | None

    def built(self, *bases: type[T]) -> T:
        """Return a new object of the class.

        Raises
        ------
        InvalidCodeError
            There is no such class in the code, or it derives from none of ``bases``, or fails.
        """
        code = self._known_code
        with self.blamed():
            kind = imported_function(code, self.entry_point, self.field, "class")
        if not (isinstance(kind, type) and issubclass(kind, bases)):
            names = " or ".join(f"stepml.{each.__name__}" for each in bases)
            raise self.error(f"expected a class that derives from {names}, got {kind!r:.100}")
        self._require_options(kind)
        with self.blamed():
            made: T = kind(**self.options)
        return made

    def _require_options(self, kind: type) -> None:
        """Raise `InvalidCodeError` if the class has not these options, or needs others."""
        if (problem := unfit_options(kind, self.options)) is not None:
            field = f"{self.field.partition('.')[0]}.options"
            place = place_of(kind.__init__, self._known_code)  # type: ignore[misc]
            raise InvalidCodeError(f"{field}: {self.entry_point}: {place}{problem}")

    def blamed(self) -> AbstractContextManager[None]:
        """Return a context in which an error of the code is named with its line."""
        if self.code is None:
            return nullcontext()
        return blamed(self.code, self.entry_point, field=self.field)

    def error(self, message: str, function: Any = None) -> InvalidCodeError:
        """Return an error about the class, or about one of its functions, with its line."""
        place = place_of(function, self._known_code) if function is not None else ""
        return InvalidCodeError(f"{self.field}: {self.entry_point}: {place}{message}")

    @property
    def _known_code(self) -> Path:
        if self.code is None:
            raise InvalidCodeError(
                f"the model is {self.entry_point!r} in code of your own, which runs only if you "
                "name it: stepml.load_model(…, code=PATH), or --code PATH"
            )
        return self.code


def unfit_options(kind: Any, options: Mapping[str, Any]) -> str | None:
    """Return the reason why a class cannot be called with these keyword arguments, or None."""
    try:
        signature = inspect.signature(kind)
    except (TypeError, ValueError):  # a class may say nothing, or anything
        return None
    try:
        signature.bind(**options)
    except TypeError as error:
        return f"{error}; expected {', '.join(signature.parameters) or 'none'}"
    return None


def frozen(array: Array) -> Array:
    """Return a view that cannot be changed."""
    view = array.view()
    view.flags.writeable = False
    return view


def thawed(array: Array) -> Array:
    """Return a view of a frozen one as StepML's own code needs it."""
    view = array.view()
    with suppress(ValueError):  # its memory cannot be changed at all
        view.flags.writeable = True
    return view
