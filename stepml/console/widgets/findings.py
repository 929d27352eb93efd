"""The findings of a check of a job: its understanding of the data, and doubts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from stepml.console.widgets.tags import Tag
from stepml.reports.data_facts import data_facts

if TYPE_CHECKING:
    from stepml.client.job_findings import JobFindings


class FindingsView:
    """The findings of a check beside mistakes; absent while there are none."""

    def __init__(self) -> None:
        self.praises = False  # what is shown says that there is no mistake
        with Tag("section", classes="box findings", role="status") as self._box:
            self._title = Tag("h2")
            self._list = Tag("ul")
        self._box.set_visibility(False)

    def show(self, found: JobFindings) -> None:
        """Show what has been found."""
        self.praises = not found.mistakes
        is_good = self.praises and not found.warnings
        self._box.dress("box findings is-right" if is_good else "box findings")
        self._title.say("Found beside the mistakes" if found.mistakes else "No mistake found")
        self._list.clear()
        with self._list:
            for each in finding_lines(found):
                Tag("li", each)
        self._box.set_visibility(True)

    def clear(self) -> None:
        """Show nothing: the job is another one than that which was checked."""
        self.praises = False
        self._box.set_visibility(False)


def finding_lines(found: JobFindings) -> Iterator[str]:
    """Yield the findings beside mistakes, line by line."""
    yield from (f"warning: {each.text}" for each in found.warnings)
    yield from (f"not checked: {each}" for each in found.unchecked)
    if found.facts is not None:
        yield from (f"{name}: {text}" for name, text in data_facts(found.facts))
    if 0 < found.share < 1:
        yield f"of the data, the first {found.share:.2%} were read"
