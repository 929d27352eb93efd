"""Fields of forms: a label, a control of the browser, what it means, and its mistake."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence

from nicegui import events

from stepml.console.job_fields import Field
from stepml.console.widgets.tags import Tag

VALUE = "(event) => emit(event.target.value)"
FINISHED = "(event) => { clearTimeout(event.target.later); emit(event.target.value); }"
TYPED = """(event) => {
  const at = event.target;
  clearTimeout(at.later);
  at.later = setTimeout(() => emit(at.value), 400);
}"""
_UNKNOWN = re.compile(r"unknown field '([^']+)'")
PASTED = """(event) => {
  const at = event.target;
  setTimeout(() => { clearTimeout(at.later); emit(at.value); });
}"""


class FieldView:
    """A field, whose control is the browser's own.

    The browser has the text of the control: nothing that changes elsewhere disturbs what a person
    types.

    Parameters
    ----------
    field : Field
    text : str
        The present value.
    on_change : callable
        Called with the new text when the person has finished it.
    suggestions : str, optional
        The id of a ``datalist``.
    """

    def __init__(
        self,
        field: Field,
        text: str,
        on_change: Callable[[str], object],
        suggestions: str | None = None,
    ) -> None:
        self.field, self.text, self._on_change = field, text, on_change
        with Tag("div", classes="field"):
            label = Tag("label", field.path[-1])
            if field.is_required:
                with label:
                    Tag("span", " (required)", "soft")
            self.control = self._select() if field.is_closed else self._input(suggestions)
            label.put(for_=self.control.html_id)
            about = Tag("p", field.about, "about")
            about.set_visibility(bool(field.about))
            self._mistake = Tag("p", classes="mistake")
            self._mistake.set_visibility(False)
        described = f"{about.html_id} {self._mistake.html_id}"
        self.control.put(aria_describedby=described, aria_required=str(field.is_required).lower())
        self.control.on("change", self._hear, js_handler=VALUE)

    def show(self, text: str) -> None:
        """Show another value, unless it is that of the control already."""
        if text == self.text:
            return
        self.text = text
        if self.field.is_closed:
            self._offer(text)
        set_value(self.control, text)

    def blame(self, mistakes: Sequence[str]) -> None:
        """Show the mistakes of the field, or none."""
        self._mistake.say("; ".join(mistakes))
        self._mistake.set_visibility(bool(mistakes))
        self.control.put(aria_invalid="true" if mistakes else None)

    def _hear(self, event: events.GenericEventArguments) -> None:
        self.text = str(event.args)
        self._on_change(self.text)

    def _input(self, suggestions: str | None) -> Tag:
        control = Tag("input", type="text", autocomplete="off", spellcheck="false")
        is_given = self.field.default != "none" or not self.field.is_required
        control.put(placeholder=self.field.default if is_given else None)
        control.put(**{"^value": self.text})  # what it has at first
        if self.field.choices:
            with Tag("datalist") as choices:
                for each in self.field.choices:
                    Tag("option", value=each)
            suggestions = choices.html_id
        return control.put(list=suggestions)

    def _select(self) -> Tag:
        with Tag("select") as control:
            Tag("option", self._empty(), value="", selected=not self.text)
            for each in self.field.choices:
                shown = each if each.strip() else "a blank"
                Tag("option", shown, value=each, selected=each == self.text)
            self._other = Tag("option", value="", hidden=True)
        self._offer(self.text)
        return control

    def _empty(self) -> str:
        if self.field.is_required:
            return "choose …"
        is_value = self.field.default in self.field.choices
        return f"{self.field.default} (default)" if is_value else self.field.default

    def _offer(self, text: str) -> None:
        """Let the select show a value that the field cannot have."""
        is_strange = bool(text) and text not in self.field.choices
        self._other.say(text if is_strange else "")
        self._other.put(hidden=not is_strange, value=text if is_strange else "")
        if is_strange:
            self._other.put(selected=True)


class TextView:
    """A text of several lines.

    Parameters
    ----------
    label, about : str
    on_change : callable
        Called with the new text when the person has finished it, or has pasted one.
    on_type : callable
        Called with the new text when the person pauses.
    """

    def __init__(
        self,
        label: str,
        about: str,
        on_change: Callable[[str], object],
        on_type: Callable[[str], object],
    ) -> None:
        self._text, self._on_change, self._on_type = "", on_change, on_type
        self._is_unfinished = False
        with Tag("div", classes="field text"):
            title = Tag("label", label)
            self.control = Tag("textarea", rows=24, spellcheck="false", autocomplete="off")
            title.put(for_=self.control.html_id)
            described = Tag("p", about, "about")
            self._mistake = Tag("p", classes="mistake")
        self._mistake.set_visibility(False)
        self.control.put(aria_describedby=f"{described.html_id} {self._mistake.html_id}")
        self.control.on("change", self._hear, js_handler=FINISHED)
        self.control.on("input", self._hear_part, js_handler=TYPED)
        self.control.on("paste", self._hear, js_handler=PASTED)

    def show(self, text: str) -> None:
        """Show another text, unless it is that of the control already."""
        if text == self._text:
            return
        self._text = text
        set_value(self.control, text)

    def placed(self, mistake: str) -> str:
        """Return a mistake with the line of the unknown field that it names, if it does."""
        named = _UNKNOWN.search(mistake)
        line = None if named is None else line_of(named[1], self._text)
        return mistake if line is None else f"line {line}: {mistake}"

    def blame(self, mistakes: Sequence[str]) -> None:
        """Show mistakes, or none."""
        self._mistake.say("\n".join(mistakes))
        self._mistake.set_visibility(bool(mistakes))
        self.control.put(aria_invalid="true" if mistakes else None)

    def _hear(self, event: events.GenericEventArguments) -> None:
        text = str(event.args)
        if text != self._text or self._is_unfinished:
            self._text, self._is_unfinished = text, False
            self._on_change(text)

    def _hear_part(self, event: events.GenericEventArguments) -> None:
        text = str(event.args)
        if text != self._text:
            self._text, self._is_unfinished = text, True
            self._on_type(text)


def line_of(name: str, text: str) -> int | None:
    """Return the number of the first line in which a field with this name is given, or None."""
    begin = re.compile(rf"""(?:^|[{{,])\s*["']?{re.escape(name)}["']?\s*[:=]""")
    lines = enumerate(text.splitlines(), start=1)
    return next((number for number, line in lines if name and begin.search(line)), None)


def set_value(control: Tag, text: str, unless_focused: bool = False) -> None:
    """Give a control another value, which the browser has; perhaps not while a person uses it."""
    # Later, as the element may be new, or a choice.
    change = f"at.value = {json.dumps(text)}"
    if unless_focused:
        change = f"if (at !== document.activeElement) {change}"
    code = f"const at = getHtmlElement({control.id}); {change};"
    control.client.run_javascript(f"setTimeout(() => {{ {code} }})")
