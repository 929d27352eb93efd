"""Elements of SVG and HTML whose text and attributes are escaped."""

from __future__ import annotations

from markupsafe import Markup, escape

EMPTY = Markup()


def element(name: str, *children: object, **attributes: object) -> Markup:
    """Return an element.

    Parameters
    ----------
    children : object
        `Markup` stays as it is, everything else is escaped.
    attributes : object
        Without those that are None. ``class_`` is class, ``text_anchor`` is text-anchor. Numbers
        have at most one decimal: enough for pixels, and short.
    """
    given = Markup().join(
        Markup(' {}="{}"').format(_name(key), _shortest(value))
        for key, value in attributes.items()
        if value is not None
    )
    inside = Markup().join(escape(child) for child in children)
    return Markup("<{0}{1}>{2}</{0}>").format(name, given, inside)


def joined(*parts: Markup) -> Markup:
    """Return markup one after another."""
    return Markup().join(parts)


def _name(key: str) -> str:
    return key.rstrip("_").replace("_", "-")


def _shortest(value: object) -> object:
    if not isinstance(value, float):
        return value
    text = f"{value:.1f}"
    return text.removesuffix(".0")
