"""Errors of the user's code, with the line there."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from stepml.job.errors import InvalidCodeError

_MOST_CHARACTERS = 500  # of a message of the user's code
_NO_MEMORY = "can't allocate memory"  # of torch's allocator


@contextmanager
def blamed(
    code: Path,
    what: str,
    *,
    field: str = "model.entry_point",
    error: type[InvalidCodeError] = InvalidCodeError,
    libraries: str = "NumPy",
) -> Iterator[None]:
    """Turn an error of the user's code into one that names the line there.

    A lack of memory is none: another function may have more.

    Parameters
    ----------
    code : Path
        The directory of the code.
    what : str
        The part of it that runs, for the message.
    field : str
        The field of the job that names it.
    error : type
        The class of the error.
    libraries : str
        Those that functions have, for code that lacks others.
    """
    try:
        yield
    except (InvalidCodeError, MemoryError, KeyboardInterrupt):
        raise
    except BaseException as found:  # otherwise an exception of the user's own would end a function
        text = _text_of(found, code)
        if isinstance(found, RuntimeError) and _NO_MEMORY in text:
            raise
        message = f"{type(found).__name__}: {text}".removesuffix(": ")
        if isinstance(found, ModuleNotFoundError):
            message += f"; functions have {libraries} and the code's own modules"
        raise error(f"{field}: {what}: {_line_of(found, code)}{message}") from found


def place_of(function: Callable[..., Any], code: Path) -> str:
    """Return the line where a function begins, as "file:line: "; empty if it is not in the code."""
    found = getattr(getattr(function, "__func__", function), "__code__", None)
    if found is None or not Path(found.co_filename).is_relative_to(code):
        return ""
    return f"{Path(found.co_filename).relative_to(code)}:{found.co_firstlineno}: "


def _text_of(error: BaseException, code: Path) -> str:
    """Return the message of an error on one line, without what cannot be shown."""
    try:
        text = str(error).replace(f"{code}/", "")
    except Exception:  # of the user's own class
        return ""
    line = " ".join(text.split())[:_MOST_CHARACTERS]
    return "".join(each if each.isprintable() else "?" for each in line)


def _line_of(error: BaseException, code: Path) -> str:
    """Return the innermost line in the user's code, as "file:line: "; empty if there is none."""
    if isinstance(error, SyntaxError) and error.filename:
        places = [(error.filename, error.lineno)]
    else:
        frames = traceback.extract_tb(error.__traceback__)
        places = [(frame.filename, frame.lineno) for frame in reversed(frames)]
    for file, line in places:
        if Path(file).is_relative_to(code):
            return f"{Path(file).relative_to(code)}:{line}: "
    return ""
