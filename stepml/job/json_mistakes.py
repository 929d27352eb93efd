"""Mistakes in the text of JSON, in words: what it is, where it is, and what to write instead."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from json import JSONDecodeError

_QUOTES = "'`’‘“”„«»"  # typed by people and word processors
_WORDS = {
    **dict.fromkeys(("true", "yes", "on"), "true"),
    **dict.fromkeys(("false", "no", "off"), "false"),
    **dict.fromkeys(("none", "null", "nil", "undefined"), "null"),
}
_NO_NUMBERS = frozenset({"nan", "inf", "infinity"})
_WORD = re.compile(r"[^\W\d]\w*")
_NUMBER = re.compile(r"[+-]?\.?\d[\w.+-]*")
_STRING = re.compile(r'"(?:[^"\\\n]|\\.)*"')
_TEMPLATE = re.compile(r"\$\{|\{\{|\{%|<%")
_CONFLICT = re.compile(r"^(?:<{7}|={7}|>{7})(?: |$)", re.MULTILINE)
_PAIRS = {"{": "}", "[": "]"}
_LONGEST_NUMBER = 40  # that is looked for


@dataclass(frozen=True, slots=True)
class Mistake:
    """A mistake in a text, at a position of it."""

    words: str
    at: int


@dataclass(frozen=True, slots=True)
class _Spot:
    """The place at which a text stops to be JSON."""

    text: str
    stop: int  # of the parser
    at: int  # of the first character from there that is no blank
    expected: str  # the parser's message

    @property
    def rest(self) -> str:
        return self.text[self.at :]

    @property
    def before(self) -> str:
        return self.text[: self.at].rstrip()


def mistake_of(error: JSONDecodeError) -> Mistake:
    """Return the mistake for which the parser gave up."""
    text = error.doc
    at = len(text) - len(text[error.pos :].lstrip(" \t\r\n"))
    spot = _Spot(text, error.pos, at, error.msg)
    found = next(filter(None, (rule(spot) for rule in _RULES)), None)
    return found or Mistake(error.msg[:1].lower() + error.msg[1:], min(at, len(text)))


def constant_mistake(text: str, name: str) -> Mistake:
    """Return the mistake that ``name``, such as NaN, is used as a number in ``text``."""
    return Mistake(_no_number(name), max(_without_strings(text).find(name), 0))


def _conflict(spot: _Spot) -> Mistake | None:
    found = _CONFLICT.search(spot.text)
    return Mistake("it has a conflict of git; resolve it", found.start()) if found else None


def _template(spot: _Spot) -> Mistake | None:
    if spot.expected.startswith("Expecting") and _TEMPLATE.match(spot.text, spot.at):
        return Mistake("it is a template; fill in its placeholders first", spot.at)
    if spot.before.endswith("{") and spot.rest.startswith("{"):
        return Mistake("it is a template; fill in its placeholders first", len(spot.before) - 1)
    return None


def _end(spot: _Spot) -> Mistake | None:
    """Name the bracket or quote that is open where the text ends."""
    if spot.expected.startswith("Unterminated string"):
        return Mistake('a string is not closed by a quote (")', spot.at)
    if spot.rest:
        return None
    opened = _open_brackets(spot.text)
    if not opened:
        return None
    bracket, at = opened[-1]
    words = f"the text ends too early; this {bracket} has no {_PAIRS[bracket]}"
    return Mistake(words, at)


def _open_brackets(text: str) -> list[tuple[str, int]]:
    """Return the brackets that are open at the end of ``text``, the outer one first."""
    opened: list[tuple[str, int]] = []
    for bracket, at in _brackets(text):
        if bracket in _PAIRS:
            opened.append((bracket, at))
        elif opened and _PAIRS[opened[-1][0]] == bracket:
            opened.pop()
    return opened


def _brackets(text: str) -> Iterator[tuple[str, int]]:
    found = re.finditer(r"[][{}]", _without_strings(text))
    return ((bracket[0], bracket.start()) for bracket in found)


def _without_strings(text: str) -> str:
    """Return ``text`` with blanks for its strings, so that every other place stays."""
    return _STRING.sub(lambda found: " " * len(found[0]), text)


def _string(spot: _Spot) -> Mistake | None:
    """Explain characters that a string may not have; there the place is exact."""
    if "escape" in spot.expected:
        return Mistake(r"a backslash in a string is written \\; paths have / instead", spot.stop)
    if not spot.expected.startswith("Invalid control character"):
        return None
    at = spot.stop
    if spot.text[at] in "\r\n":
        return Mistake('a string is not closed by a quote (") on its line', _string_start(spot, at))
    written = r"\t" if spot.text[at] == "\t" else f"\\u{ord(spot.text[at]):04x}"
    return Mistake(f"this character is written {written} in a string", at)


def _string_start(spot: _Spot, at: int) -> int:
    """Return the place of the quote that opens the string which the line end at ``at`` cuts."""
    begin = spot.text.rfind("\n", 0, at) + 1
    return begin + max(_without_strings(spot.text[begin:at]).find('"'), 0)


def _invisible(spot: _Spot) -> Mistake | None:
    character = spot.rest[:1]
    if not character or character.isascii() or unicodedata.category(character)[0] not in "ZC":
        return None
    name = unicodedata.name(character, "")
    code = f"U+{ord(character):04X}{f' {name}' if name else ''}"
    return Mistake(f"there is an invisible character, {code}; delete it", spot.at)


def _comma(spot: _Spot) -> Mistake | None:
    comma = spot.at if spot.rest.startswith(",") else len(spot.before) - 1
    after = spot.text[comma + 1 :].lstrip()
    if spot.text[comma : comma + 1] != ",":
        return None
    if after.startswith(("}", "]")):
        return Mistake("there is a comma after the last element; remove it", comma)
    if comma == spot.at and spot.before.endswith((",", "{", "[")):
        return Mistake("there is a comma too many", comma)
    return _thousands(spot.text, comma)


def _thousands(text: str, comma: int) -> Mistake | None:
    begin = max(comma - _LONGEST_NUMBER, 0)
    digits = re.search(r"(?<![\w.])[+-]?\d{1,3}(?:,\d{3})*\Z", text[begin:comma])
    more = re.match(r"\d{3}(?:,\d{3}){0,9}\b", text[comma + 1 :])
    if digits is None or more is None:
        return None
    number = f"{digits[0]},{more[0]}"
    plain = number.replace(",", "")
    return Mistake(f"write {plain}, not {number}", begin + digits.start())


def _extra(spot: _Spot) -> Mistake | None:
    if spot.expected != "Extra data":
        return None
    if spot.rest.startswith(("}", "]")):
        return Mistake("there is a closing bracket too many", spot.at)
    if spot.rest.startswith(("{", "[")):
        return Mistake("another value begins after the end of the job", spot.at)
    return None


def _comment(spot: _Spot) -> Mistake | None:
    is_comment = spot.rest.startswith(("//", "/*", "#"))
    return Mistake("JSON has no comments", spot.at) if is_comment else None


def _quote(spot: _Spot) -> Mistake | None:
    if not spot.rest or spot.rest[0] not in _QUOTES:
        return None
    return Mistake(f'strings need straight double quotes ("), not {spot.rest[0]}', spot.at)


def _number(spot: _Spot) -> Mistake | None:
    """Explain what only looks like a number: the parser stops in it, or before it."""
    if not spot.expected.startswith(("Expecting value", "Expecting ','")):
        return None
    at = spot.at
    if at == len(spot.before):  # the parser may stop after the first digits of it
        at -= len(re.split(r"[^\w.+-]", spot.before[-_LONGEST_NUMBER:])[-1])
    found = _NUMBER.match(spot.text, at)
    if found is None or found.end() <= spot.at:
        return None
    plain = _plain_number(found[0])
    advice = f"write {plain}, not {found[0]}" if plain else f"{found[0]} is not a number"
    return Mistake(advice, at)


def _plain_number(text: str) -> str:
    """Return a number as JSON has it, or "" if the text is none of any language."""
    for read in (lambda: int(text, 0), lambda: int(text), lambda: float(text)):
        try:
            return f"{read()}".removesuffix(".0")
        except ValueError:
            continue
    return ""


def _word(spot: _Spot) -> Mistake | None:
    found = _WORD.match(spot.text, spot.at)
    if found is None:
        return None
    word, after = found[0], spot.text[found.end() :].lstrip()
    if spot.before.endswith(("{", ",")) and after.startswith((":", "=")):
        return Mistake(f'names need double quotes: "{word}"', spot.at)
    if not spot.before.endswith((":", ",", "[")):
        return None
    if word.lower() in _NO_NUMBERS:
        return Mistake(_no_number(word), spot.at)
    if word.lower() in _WORDS:
        return Mistake(f"write {_WORDS[word.lower()]}, not {word}", spot.at)
    return Mistake(f'text needs double quotes: "{word}"', spot.at)


def _no_number(word: str) -> str:
    return f"{word} is not a JSON number; leave the field out, or write null"


def _colon(spot: _Spot) -> Mistake | None:
    if spot.expected.startswith("Expecting ':'"):
        if spot.rest.startswith("="):
            return Mistake("write : between a name and its value, not =", spot.at)
        if spot.rest.startswith((",", "}")):
            return Mistake("this name has no value", _last_string(spot))
        return Mistake("a colon is missing after this name", _last_string(spot))
    is_value = spot.expected.startswith("Expecting value") and spot.before.endswith(":")
    if is_value and spot.rest.startswith((",", "}", "]")):
        return Mistake("the value is missing", spot.at)
    return None


def _last_string(spot: _Spot) -> int:
    strings = [found.start() for found in _STRING.finditer(spot.before)]
    return strings[-1] if strings else spot.at


def _separator(spot: _Spot) -> Mistake | None:
    """Explain what follows a value, where a comma or the closing bracket is expected."""
    if not spot.expected.startswith("Expecting ','"):
        return None
    opened = _open_brackets(spot.text[: spot.at])
    if spot.rest.startswith(("}", "]")) and opened:
        bracket, at = opened[-1]
        line = spot.text.count("\n", 0, at) + 1
        words = f"the {bracket} of line {line} is closed by {_PAIRS[bracket]}, not {spot.rest[0]}"
        return Mistake(words, spot.at)
    return Mistake("a comma is missing after this value", max(len(spot.before) - 1, 0))


_RULES: tuple[Callable[[_Spot], Mistake | None], ...] = (
    _conflict,
    _string,
    _end,
    _template,
    _invisible,
    _comment,
    _comma,
    _extra,
    _quote,
    _number,
    _word,
    _colon,
    _separator,
)
