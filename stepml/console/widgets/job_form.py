"""The form of a job: a part for each group of its fields, made of the schema."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from stepml.console.job_draft import Draft, Mistake
from stepml.console.job_fields import VARIANT, Field, Group, Path, job_form
from stepml.console.job_values import text_of
from stepml.console.widgets.field import FieldView
from stepml.console.widgets.tags import Tag

FIRST = 4  # fields of a group that are always in sight, beside those that it needs, or has at first


@dataclass(frozen=True, slots=True)
class Context:
    """The context that all parts of a form share."""

    draft: Draft
    on_change: Callable[[Field, str], object]
    suggestions: Mapping[Path, str]  # the ids of lists of values


class GroupView:
    """A group of fields; it keeps them while their values change, and changes with its variant."""

    def __init__(self, group: Group, title: str, context: Context) -> None:
        self._context = context
        self._fields: dict[Path, FieldView] = {}
        self._groups: dict[Path, GroupView] = {}
        self._path = group.path
        with Tag("fieldset", classes="group", tabindex=-1) as self.box:
            Tag("legend", title)
            self._about = Tag("p", classes="about")
            self._mistake = Tag("p", classes="mistake")
            with Tag("div", classes="fields"):
                for each in group.fields:
                    if each.path[-1] == VARIANT:
                        self._field(each)
            self._rest = Tag("div")
        self._build(group)

    def show(self, group: Group) -> None:
        """Show the values of the draft; ``group`` has the fields that it has now."""
        if _names(group) != self._names:
            self._build(group)
        self._about.say(group.about)
        for each in group.fields:
            value = self._context.draft.value(each.path)
            self._fields[each.path].show(text_of(each, value))
        for inner in group.groups:
            self._groups[inner.path].show(inner)
        self._say_more()

    def blame(self, mistakes: Sequence[Mistake]) -> None:
        """Show mistakes at their fields, and those of no field at the group."""
        for path, view in self._fields.items():
            view.blame([each.at_field for each in mistakes if each.path == path])
        for inner in self._groups.values():
            inner.blame(mistakes)
        own = [each.at_field for each in mistakes if each.path == self._path]
        self._mistake.say("; ".join(own))
        self._mistake.set_visibility(bool(own))

    def target(self, path: Path) -> Tag | None:
        """Return the element that has the focus for a mistake at ``path``, if it is here."""
        if path in self._fields:
            return self._fields[path].control
        if path == self._path:
            return self.box
        found = (each.target(path) for each in self._groups.values())
        return next((each for each in found if each is not None), None)

    def _build(self, group: Group) -> None:
        """Make all fields but the one that chooses the variant, which keeps the focus."""
        self._names = _names(group)
        self._rest.clear()
        self._groups.clear()
        own = {path: view for path, view in self._fields.items() if path[-1] == VARIANT}
        self._fields.clear()
        self._fields.update(own)
        self._about.say(group.about)
        self._about.set_visibility(bool(group.about) and bool(self._path))
        self._mistake.set_visibility(False)
        others = [each for each in group.fields if each.path not in own]
        first = [each for at, each in enumerate(others) if at < FIRST or self._is_first(each)]
        more = [each for each in others if each not in first]
        inner = group.groups if self._path else ()
        with self._rest:
            self._grid(first)
            if own:  # such as the network of a model
                self._inner(inner)
                inner = ()
            hidden = [*(each.path for each in more), *(each.path for each in inner)]
            self._hidden_names = [path[-1] for path in hidden]
            self._summary = self._hidden(more, inner) if self._hidden_names else None
        self._say_more()

    def _is_first(self, field: Field) -> bool:
        return field.is_required or self._context.draft.value(field.path) is not None

    def _hidden(self, fields: Sequence[Field], groups: Sequence[Group]) -> Tag:
        """Make the part that is closed at first, unless a group in it has values."""
        with Tag("details", classes="more", open=bool(self._given())):
            summary = Tag("summary")
            self._grid(fields)
            self._inner(groups)
        return summary

    def _given(self) -> list[str]:
        value = self._context.draft.value
        return [name for name in self._hidden_names if value((*self._path, name)) is not None]

    def _say_more(self) -> None:
        if self._summary is not None:
            given = f"; given: {', '.join(self._given())}" if self._given() else ""
            self._summary.say(f"More: {', '.join(self._hidden_names)}{given}")

    def _grid(self, fields: Iterable[Field]) -> None:
        with Tag("div", classes="fields"):
            for each in fields:
                self._field(each)

    def _inner(self, groups: Iterable[Group]) -> None:
        for each in groups:
            self._groups[each.path] = GroupView(each, each.path[-1], self._context)

    def _field(self, field: Field) -> None:
        self._fields[field.path] = FieldView(
            field,
            text_of(field, self._context.draft.value(field.path)),
            partial(self._context.on_change, field),
            self._context.suggestions.get(field.path),
        )


class JobFields:
    """All fields of a job.

    Parameters
    ----------
    context : Context
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        form = job_form(context.draft.document)
        self._parts = [GroupView(_alone(form), "job", context)]
        self._parts += [GroupView(each, each.path[-1], context) for each in form.groups]

    def show(self) -> None:
        """Show the values of the draft."""
        form = job_form(self._context.draft.document)
        for part, group in zip(self._parts, (_alone(form), *form.groups), strict=True):
            part.show(group)

    def blame(self, mistakes: Sequence[Mistake]) -> None:
        """Show mistakes at their fields."""
        for each in self._parts:
            each.blame(mistakes)

    def target(self, path: Path) -> Tag | None:
        """Return the element that has the focus for a mistake at ``path``."""
        found = (each.target(path) for each in self._parts)
        return next((each for each in found if each is not None), None)


def _alone(form: Group) -> Group:
    """Return the fields of the job that are in no group."""
    return Group(form.path, form.about, form.fields, (), form.is_required)


def _names(group: Group) -> tuple[Path, ...]:
    return (*(each.path for each in group.fields), *(each.path for each in group.groups))
